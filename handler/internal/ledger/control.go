package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Control is a row of its own in the table "chunk", under RowKey + "-control": what concerns the migration as a whole and no
// window, so that it does not contend with planning and closing. A row that is not there yet reads as an empty one.
type Control struct {
	Source, Destination Outage
	Retrying            []string // exceptions whose lines were posted again and have not ended
	Pause               Wish     // nothing new starts; what runs is followed
	Drain               Wish     // what is open is ended, then the tables are given back to the original
	StartNow            Wish     // the live end is planned up to the lag, however short that window is
	Export, Import      Tick     // of ExportTimer and ImportTimer
	Anonymization       string   // the ETag of the de-identification configuration as ExportTimer last found it, "" when it never looked for one

	Drained time.Time // when the tables were given back

	etag azcore.ETag
	kept properties
}

// Outage is the time in which a FHIR service gives no answer. Its zero value: it answers.
type Outage struct {
	Since     time.Time // when a step first got no answer
	Tries     int       // steps in a row that got none
	NotBefore time.Time // it is asked again then
	Reason    string    // the last error
	Throttled bool      // that was an answer after all: it is asked too often
}

// Missed is o after one more step without an answer.
func (o Outage) Missed(reason string, now, notBefore time.Time) Outage {
	if o.Since.IsZero() {
		o.Since = now
	}
	o.Tries++
	o.NotBefore, o.Reason = notBefore, reason
	return o
}

// Wish is what an operator wants until it is taken back or has come true. Its zero value: nothing.
type Wish struct {
	Action string // ID of the action that it came with
	By     string
	Reason string
	At     time.Time
}

// Wished is the wish of an action.
func Wished(a Action) Wish { return Wish{Action: a.ID, By: a.By, Reason: a.Reason, At: a.At} }

// Set says whether there is a wish.
func (w Wish) Set() bool { return w.Action != "" }

// columns are the wish's, whose names begin with prefix.
func (w *Wish) columns(prefix string) []column {
	return []column{
		textColumn(prefix+"Action", &w.Action), textColumn(prefix+"By", &w.By), textColumn(prefix+"Reason", &w.Reason), timeColumn(prefix+"At", &w.At),
	}
}

// PauseWished is the row of a migration that is paused. ok is false when it is paused.
func (c Control) PauseWished(w Wish) (_ Control, ok bool) {
	if c.Pause.Set() {
		return c, false
	}
	c.Pause = w
	return c, true
}

// PauseEnded is the row of a migration that goes on. ok is false when it is not paused.
func (c Control) PauseEnded() (_ Control, ok bool) {
	if !c.Pause.Set() {
		return c, false
	}
	c.Pause = Wish{}
	return c, true
}

// StartNowWished notes that the live end is to be planned now. A wish that is there is replaced: it is the same wish.
func (c Control) StartNowWished(w Wish) Control {
	c.StartNow = w
	return c
}

// StartNowDone takes the wish of an action back that has come true. ok is false when it is another one, or gone.
func (c Control) StartNowDone(action string) (_ Control, ok bool) {
	if c.StartNow.Action != action || action == "" {
		return c, false
	}
	c.StartNow = Wish{}
	return c, true
}

// AnonymizationFound notes which version of the de-identification configuration there is. ok is false when that is noted, or not known.
func (c Control) AnonymizationFound(etag string) (_ Control, ok bool) {
	if etag == "" || etag == c.Anonymization {
		return c, false
	}
	c.Anonymization = etag
	return c, true
}

func (c *Control) row() row { return row{c.columns(), &c.etag, &c.kept} }

func (c *Control) columns() []column {
	return slices.Concat(c.Pause.columns("pause"), c.StartNow.columns("startNow"), c.Drain.columns("drain"), []column{
		timeColumn("drained", &c.Drained),
		timeColumn("sourceOutSince", &c.Source.Since), int32Column("sourceTries", &c.Source.Tries),
		timeColumn("sourceNotBefore", &c.Source.NotBefore), textColumn("sourceOutage", &c.Source.Reason), boolColumn("sourceThrottled", &c.Source.Throttled),
		timeColumn("destinationOutSince", &c.Destination.Since), int32Column("destinationTries", &c.Destination.Tries),
		timeColumn("destinationNotBefore", &c.Destination.NotBefore), textColumn("destinationOutage", &c.Destination.Reason), boolColumn("destinationThrottled", &c.Destination.Throttled),
		timeColumn("exportTick", &c.Export.At), textColumn("exportTrouble", &c.Export.Error), timeColumn("exportTroubleSince", &c.Export.Since), textColumn("exportWaiting", &c.Export.Waiting),
		timeColumn("importTick", &c.Import.At), textColumn("importTrouble", &c.Import.Error), timeColumn("importTroubleSince", &c.Import.Since), textColumn("importWaiting", &c.Import.Waiting),
		textColumn("anonymizationETag", &c.Anonymization),
		jsonColumn("retrying", &c.Retrying, func(ids []string) bool { return len(ids) == 0 }),
	})
}

func (l *Ledger) controlKey() string { return l.rowKey + "-control" }

// Control reads the control row.
func (l *Ledger) Control(ctx context.Context) (Control, error) {
	var c Control
	err := l.readRow(ctx, l.chunk, l.controlKey(), c.row())
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return c, err
}

// SaveControl saves a control row that was read or saved before, or inserts it when there was none. ErrConflict: reload and decide
// anew.
func (l *Ledger) SaveControl(ctx context.Context, c Control) (Control, error) {
	err := l.saveRow(ctx, l.chunk, l.controlKey(), c.row())
	return c, err
}
