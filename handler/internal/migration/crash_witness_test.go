package migration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
)

// witness sees every effect of every handler of a world: it gives each a name that is the same in every run, and notes what
// may not happen whatever the handlers look like in the end.
type witness struct {
	rows     *ledger.Ledger // a look at the tables that is no handler's
	settings settings.Settings

	mu        sync.Mutex
	effects   []string
	seen      map[string]int
	jobs      map[string]string // names of jobs by id
	bodies    map[string]string // of imports, by inputSource
	started   map[string]bool   // ids of exports that the source accepted
	named     map[string]bool   // ids of exports that a row named once
	names     map[int]string    // id of the export that a window names now
	cancelled map[string]bool
	counts    map[string]int
	wrong     []string
}

func newWitness(rows *ledger.Ledger, set settings.Settings) *witness {
	return &witness{rows: rows, settings: set, seen: map[string]int{}, jobs: map[string]string{}, bodies: map[string]string{}, started: map[string]bool{},
		named: map[string]bool{}, names: map[int]string{}, cancelled: map[string]bool{}, counts: map[string]int{}}
}

// fhirCall is a call to a FHIR service.
type fhirCall struct {
	service, text string
	export        *fhir.Period // of a $export
	importBody    []byte       // of an $import
	importSource  string       // its inputSource
	polledExport  string       // id of the export that is asked for
	cancels       string       // id of the export that is cancelled
}

func newFHIRCall(service string, r *http.Request, body []byte) fhirCall {
	c := fhirCall{service: service, text: fmt.Sprintf("%s: %s %s", service, r.Method, r.URL.RequestURI())}
	switch q := r.URL.Query(); {
	case path.Base(r.URL.Path) == "$export":
		since, _ := time.Parse(time.RFC3339Nano, q.Get("_since"))
		till, _ := time.Parse(time.RFC3339Nano, q.Get("_till"))
		c.export = &fhir.Period{Since: since, Till: till}
		c.text = fmt.Sprintf("%s: start export of %s%s", service, q.Get("_type"), c.export)
	case path.Base(r.URL.Path) == "$import":
		c.importBody, c.importSource = body, gjson.GetBytes(body, `parameter.#(name=="inputSource").valueUri`).String()
		c.text = fmt.Sprintf("%s: start import %s", service, c.importSource)
	case r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/export/"):
		c.cancels = path.Base(r.URL.Path)
	case strings.Contains(r.URL.Path, "/export/") && path.Base(r.URL.Path) != "0": // 0 is asked for the time
		c.polledExport = path.Base(r.URL.Path)
	}
	return c
}

// jobID matches ids of the sandbox's jobs.
var jobID = regexp.MustCompile(`\d{9,}`)

// effect names an effect: ids of jobs, which differ from run to run, are replaced by what they are jobs of, and what happens
// again is numbered.
func (w *witness) effect(text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text = w.nameJobs(text)
	w.seen[text]++
	if n := w.seen[text]; n > 1 {
		text += " #" + strconv.Itoa(n)
	}
	w.effects = append(w.effects, text)
	return text
}

func (w *witness) nameJobs(text string) string {
	return jobID.ReplaceAllStringFunc(text, func(id string) string {
		if name := w.jobs[id]; name != "" {
			return "(" + name + ")"
		}
		return id
	})
}

// served notes what came of a call.
func (w *witness) served(c fhirCall, reply *http.Response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := path.Base(reply.Header.Get("Content-Location"))
	switch accepted := reply.StatusCode == http.StatusAccepted; {
	case accepted && c.export != nil:
		w.started[id] = true
		w.jobs[id] = fmt.Sprintf("export %d of %s", w.seen[c.text], c.export)
	case reply.StatusCode == http.StatusCreated && strings.HasSuffix(c.text, "/$reindex"):
		w.jobs[id] = "reindex"
	case accepted && c.importBody != nil:
		w.jobs[id] = "import " + w.nameJobs(c.importSource)
	case c.cancels != "" && reply.StatusCode != http.StatusGone:
		w.cancelled[c.cancels] = true
		for number, named := range w.names {
			if named == c.cancels {
				w.wrong = append(w.wrong, fmt.Sprintf("a handler cancelled the export that window %d names", number))
			}
		}
	}
}

// newImport notes the body of an $import, and says whether there was none of this inputSource. Under one inputSource only one
// body may ever be posted.
func (w *witness) newImport(c fhirCall) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, known := w.bodies[c.importSource]
	if known && before != string(c.importBody) {
		w.wrong = append(w.wrong, fmt.Sprintf("two bodies are posted as %s:\n%s\n%s", c.importSource, before, c.importBody))
	}
	w.bodies[c.importSource] = string(c.importBody)
	return !known
}

// imports is how many different imports were posted.
func (w *witness) imports() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.bodies)
}

// job is the name of the export or import with an id.
func (w *witness) job(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.jobs[id]
}

// complain notes what may not happen.
func (w *witness) complain(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// count counts calls of a kind, this one included.
func (w *witness) count(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
	return w.counts[what]
}

// tableEffect names a write by its table and row. What is random in a key, or differs from run to run, is left out.
func (w *witness) tableEffect(c ledger.Call) string {
	switch row := strings.TrimPrefix(c.Row, w.settings.RowKey); {
	case row == "":
		return fmt.Sprintf("tables: %s %s", c.Op, w.kind(c.Table))
	case c.Table == w.settings.ExceptionTableName:
		return fmt.Sprintf("tables: %s exception %s", c.Op, row[:strings.LastIndex(row, "-")])
	default:
		return fmt.Sprintf("tables: %s %s %s", c.Op, w.kind(c.Table), row)
	}
}

func (w *witness) kind(table string) string {
	switch table {
	case w.settings.ExportTableName:
		return "window"
	case w.settings.ExceptionTableName:
		return "exception"
	}
	return "chunk"
}

// saved looks at a row after a write, for the export that it names.
func (w *witness) saved(c ledger.Call) {
	row := strings.TrimPrefix(c.Row, w.settings.RowKey)
	if row == "-searchparameters" {
		w.savedParameters()
		return
	}
	number, err := strconv.Atoi(row)
	if err != nil || w.kind(c.Table) != "window" {
		return
	}
	window, err := w.rows.Window(context.Background(), number)
	if errors.Is(err, ledger.ErrNotFound) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.wrong = append(w.wrong, fmt.Sprintf("the row of window %d after its save: %v", number, err))
		return
	}
	id := path.Base(window.ExportStatusURL)
	w.names[number] = id
	w.named[id] = true
}

// savedParameters looks at the row of the search parameters, for the export that it names.
func (w *witness) savedParameters() {
	row, err := w.rows.SearchParameters(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.wrong = append(w.wrong, fmt.Sprintf("the row of the search parameters after its save: %v", err))
		return
	}
	w.named[row.Export.ID] = true
}

// orphans are the exports that were started, that no row ever named, and that nobody cancelled.
func (w *witness) orphans() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.started {
		if !w.named[id] && !w.cancelled[id] {
			n++
		}
	}
	return n
}
