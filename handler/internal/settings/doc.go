// Package settings turns the app settings of the function app into one checked Settings value.
//
// The Functions host hands app settings to the handler as environment variables, in the case in which somebody
// typed them. The names are those of the tool this one replaces, with the prefix AZURE_; there they were read
// without regard to case, and so they are here: AZURE_SourceUri, AZURE_SOURCEURI and azure_sourceuri are the same
// setting. Two spellings with different values are an error, because nobody could say which one counts.
//
// Names are as strict as values. One that begins with AZURE_ and that nobody knows is an error (known.go): it may be the misspelt wish for
// a de-identified export. Names of the durable original that have no effect are accepted and noted, Azure's own are left alone.
//
// Reading goes in five steps: fold.go finds the spellings of every setting and tidies the values (read.go), known.go sorts what is
// left over, process.go lets envconfig fill the struct and apply the defaults, validate.go and its neighbours check every
// value and those that belong together, and redact.go shows the result without its secrets. Every problem found is reported in
// one go, each naming its setting and saying what to do, so that an operator mends a configuration once and not setting by setting.
package settings
