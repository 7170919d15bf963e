package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Control is a row of its own in the table "chunk", under RowKey + "-control": what concerns the migration as a whole and no
// window, so that it does not contend with planning and closing. A row that is not there yet reads as an empty one.
type Control struct {
	Source, Destination Outage
	Retrying            []string // exceptions whose lines were posted again and have not ended

	etag azcore.ETag
	kept properties
}

// Outage is the time in which a FHIR service gives no answer. Its zero value: it answers.
type Outage struct {
	Since     time.Time // when a step first got no answer
	Tries     int       // steps in a row that got none
	NotBefore time.Time // it is asked again then
	Reason    string    // the last error
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

func (c *Control) columns() []column {
	return []column{
		timeColumn("sourceOutSince", &c.Source.Since), int32Column("sourceTries", &c.Source.Tries),
		timeColumn("sourceNotBefore", &c.Source.NotBefore), textColumn("sourceOutage", &c.Source.Reason),
		timeColumn("destinationOutSince", &c.Destination.Since), int32Column("destinationTries", &c.Destination.Tries),
		timeColumn("destinationNotBefore", &c.Destination.NotBefore), textColumn("destinationOutage", &c.Destination.Reason),
		jsonColumn("retrying", &c.Retrying, func(ids []string) bool { return len(ids) == 0 }),
	}
}

func (l *Ledger) controlKey() string { return l.rowKey + "-control" }

// Control reads the control row.
func (l *Ledger) Control(ctx context.Context) (Control, error) {
	p, etag, err := l.chunk.get(ctx, l.partition, l.controlKey())
	if errors.Is(err, ErrNotFound) {
		return Control{}, nil
	}
	if err != nil {
		return Control{}, err
	}
	c := Control{etag: etag, kept: p}
	if err := readColumns(c.columns(), p); err != nil {
		return Control{}, fmt.Errorf("row %s of table %s: %w", l.controlKey(), l.chunk.name(), err)
	}
	return c, nil
}

// SaveControl saves a control row that was read or saved before, or inserts it when there was none. ErrConflict, ErrExists:
// reload and decide anew.
func (l *Ledger) SaveControl(ctx context.Context, c Control) (Control, error) {
	p, err := writeColumns(c.columns(), c.kept)
	if err != nil {
		return c, fmt.Errorf("save row %s: %w", l.controlKey(), err)
	}
	c.kept = p
	if c.etag == "" {
		c.etag, err = l.chunk.insert(ctx, l.partition, l.controlKey(), p)
		return c, err
	}
	c.etag, err = l.chunk.replace(ctx, l.partition, l.controlKey(), p, c.etag)
	return c, err
}
