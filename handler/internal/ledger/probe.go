package ledger

import (
	"context"
	"errors"
	"fmt"
)

// Probe finds out whether the tables can be used: in each it inserts a row of no meaning, reads it and removes it. Tables that are not there
// are made, as the migration would. unique keeps two probes apart.
func (l *Ledger) Probe(ctx context.Context, unique string) error {
	var errs []error
	for _, t := range []table{l.export, l.chunk, l.exceptions} {
		errs = append(errs, l.probe(ctx, t, l.rowKey+"-probe-"+unique))
	}
	return errors.Join(errs...)
}

func (l *Ledger) probe(ctx context.Context, t table, row string) error {
	if err := t.create(ctx); err != nil {
		return err
	}
	if _, err := t.insert(ctx, l.partition, row, properties{"Probe": "this row may be removed"}); err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	p, etag, err := t.get(ctx, l.partition, row)
	if err == nil && p["Probe"] == nil {
		err = fmt.Errorf("row %s of table %s is not as it was saved", row, t.name())
	}
	if err != nil {
		return err
	}
	return t.remove(ctx, l.partition, row, etag)
}
