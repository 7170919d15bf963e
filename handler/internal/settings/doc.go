// Package settings turns the app settings of the function app into one checked Settings value.
//
// The Functions host hands app settings to the handler as environment variables, in the case in which somebody
// typed them. The names are those of the tool this one replaces, with the prefix AZURE_; there they were read
// without regard to case, and so they are here: AZURE_SourceUri, AZURE_SOURCEURI and azure_sourceuri are the same
// setting. Two spellings with different values are an error, because nobody could say which one counts.
//
// Reading goes in four steps: fold.go folds the names and tidies the values, process.go lets envconfig fill the
// struct and apply the defaults, validate.go and its neighbours check every value and those that belong together,
// and redact.go shows the result without its secret. Every problem found is reported in one go, each naming its
// setting and saying what to do, so that an operator mends a configuration once and not setting by setting.
package settings
