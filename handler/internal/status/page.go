package status

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"

	"fhirmigration/handler/internal/ledger"
)

var (
	//go:embed page/page.html
	pageHTML string
	//go:embed page/style.css
	pageStyle string
	//go:embed page/script.js
	pageScript string

	pageTemplate = template.Must(template.New("").Funcs(pageFuncs).Parse(pageHTML))
)

// page is what the template shows: a status, or why there is none.
type page struct {
	Title    string
	Status   *Status
	Headline string
	Problems []string
	Style    template.CSS
	Script   template.JS
}

// SecurityPolicy is the Content-Security-Policy under which the page works: its own style and script, known by their hashes, and calls to
// where it comes from. Nothing else is loaded, framed or submitted.
func SecurityPolicy() string {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; script-src " + hash(pageScript) + "; style-src " + hash(pageStyle) +
		"; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// WritePage writes the page of s. It shows what is in s and nothing else.
func WritePage(w io.Writer, s Status) error {
	return write(w, page{Title: stateNames[s.State] + " – FHIR migration", Status: &s})
}

// WriteProblem writes the page of a status that cannot be had.
func WriteProblem(w io.Writer, headline string, problems []string) error {
	return write(w, page{Title: "Not working – FHIR migration", Headline: headline, Problems: problems})
}

// write renders the page before a byte of it is sent.
func write(w io.Writer, p page) error {
	p.Style, p.Script = template.CSS(pageStyle), template.JS(pageScript)
	var b bytes.Buffer
	if err := pageTemplate.ExecuteTemplate(&b, "page", p); err != nil {
		return fmt.Errorf("render the page: %w", err)
	}
	_, err := b.WriteTo(w)
	return err
}

var stateNames = map[State]string{
	Halted: "Halted", Held: "Needs an operator", Blocked: "Needs attention", Drained: "Given back", Paused: "Paused", Waiting: "Waiting", NotBegun: "Not begun",
	Running: "Running", Following: "Up to date", Finished: "Finished",
}

// tones are how the page colours a state.
var tones = map[State]string{
	Halted: "act", Held: "act", Blocked: "act", Drained: "wait", Paused: "wait", Waiting: "wait", NotBegun: "calm", Running: "busy", Following: "good", Finished: "good",
}

// shown is a value as the page shows it, with where it is in the JSON.
type shown struct {
	Path  string
	Value any
	Text  string
}

// shownTime is an instant as the page shows it.
type shownTime struct {
	Path string
	At   time.Time
	Text string
}

// placed is a window with where it is in the JSON.
type placed struct {
	Path   basePath
	Window Window
}

// basePath is where a part of the status is in its JSON.
type basePath struct{ List, Base string }

// Of is where a member of that part is.
func (p basePath) Of(member string) string { return p.Base + "." + member }

var pageFuncs = template.FuncMap{
	"num": func(path string, n any) shown {
		v := reflect.Indirect(reflect.ValueOf(n)).Int()
		return shown{path, v, whole(v)}
	},
	"share":   func(path string, n float64) shown { return shown{path, n, percent(n)} },
	"lasting": func(path string, seconds float64) shown { return shown{path, seconds, long(seconds)} },
	"left": func(path string, seconds float64) shown {
		if seconds == 0 {
			return shown{path, seconds, "nothing"}
		}
		return shown{path, seconds, long(seconds)}
	},
	"rate": func(path string, n float64) shown { return shown{path, n, rounded(n)} },
	"at":   func(path string, t time.Time) shownTime { return shownTime{path, t, when(t)} },
	"second": func(path string, t time.Time) shownTime {
		return shownTime{path, t, t.UTC().Format("2006-01-02 15:04:05 UTC")}
	},
	"day":   func(path string, t time.Time) shownTime { return shownTime{path, t, coarse(t)} },
	"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
	"clock": func(t time.Time) string { return when(t) },
	"path":  joined,
	"indexed": func(list string, i int, w Window) placed {
		return placed{basePath{list, fmt.Sprintf("%s.%d", list, i)}, w}
	},
	"deref":     func(n int64) int64 { return n },
	"text":      unbroken,
	"upper":     upper,
	"host":      hostOf,
	"width":     func(share float64) string { return fmt.Sprintf("%.2f%%", share*100) },
	"stateName": func(s State) string { return stateNames[s] },
	"tone":      func(s State) string { return tones[s] },
	"strips":    strips,
	"legend":    legend,
	"kindName":  func(k Kind) string { return kindNames[k] },
	"exceptionState": func(state string) string {
		return map[string]string{"posted": "being imported again", "imported": "imported since", "accepted": "accepted"}[state]
	},
	"checkMark":      checkMark,
	"checkTone":      checkTone,
	"parameterState": parameterState,
}

// joined is a path in the JSON.
func joined(parts ...any) string {
	text := make([]string, len(parts))
	for i, p := range parts {
		text[i] = fmt.Sprint(p)
	}
	return strings.Join(text, ".")
}

// hostOf is a base URL without its scheme.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	return u.Host + strings.TrimSuffix(u.Path, "/")
}

// coarse is an instant for a headline: its day, with the time where there is one.
func coarse(t time.Time) string {
	t = t.UTC()
	if t.Truncate(24 * time.Hour).Equal(t) {
		return t.Format("2006-01-02")
	}
	return t.Format("2006-01-02 15:04")
}

// instants are dates and times in a sentence, which no line is to be broken within.
var instants = regexp.MustCompile(`\d{4}-\d{2}-\d{2}( \d{2}:\d{2}(:\d{2})?( UTC)?)?`)

// unbroken is a text of which no line is broken within an instant.
func unbroken(text string) template.HTML {
	return template.HTML(instants.ReplaceAllString(template.HTMLEscapeString(text), `<span class="nobreak">$0</span>`))
}

func upper(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func checkMark(c Check) string {
	switch {
	case c.Clean == nil:
		return "○"
	case *c.Clean:
		return "✓"
	}
	return "✕"
}

func checkTone(c Check) string {
	switch {
	case c.Clean == nil:
		return "dim"
	case *c.Clean:
		return "ok"
	}
	return "no"
}

func parameterState(s SearchParameters) string {
	if s.State == string(ledger.ParametersDone) && s.Found == 0 {
		return "The source has none"
	}
	return map[string]string{
		"off": "Left alone", "waiting": "Copied before the first import", "copying": "Being copied", "deferred": "Put off",
		"reindexing": "Copied; the destination is being reindexed", "failed": "Copied, but the destination could not be reindexed", "done": "Copied, and can be searched by",
	}[s.State]
}
