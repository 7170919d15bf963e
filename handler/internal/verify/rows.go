package verify

import (
	"context"
	"encoding/json"
	"fmt"

	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/ledger"
)

// writeRows gives results a row of the original's kind each, under numbers that continue the original's. The numbers are taken once, so that a step that dies
// writes the same rows again.
func (j *job) writeRows(ctx context.Context) error {
	rows, key := j.surfaceRows(), j.Settings.SurfaceRowKey
	if j.request.Kind == Deep {
		var err error
		if rows, err = j.deepRows(ctx); err != nil {
			return err
		}
		key = j.Settings.DeepRowKey
	}
	if len(rows) == 0 {
		return nil
	}
	if j.result.FirstRow == 0 {
		first, err := j.takeNumbers(ctx, len(rows))
		if err != nil {
			return err
		}
		j.result.FirstRow = first
		if err := j.save(ctx); err != nil {
			return err
		}
	}
	for i, row := range rows {
		if j.request.Kind == Surface {
			j.Log.Info("type counted", "event", event.SurfaceCheck, "run", j.run.Number, "Resource", row.Resource, "SourceCount", row.SourceCount, "DestinationCount", row.DestinationCount, "Result", row.Result)
		}
		if err := j.Ledger.InsertCheckResult(ctx, key, j.result.FirstRow+i, row); err != nil {
			return err
		}
	}
	return nil
}

// takeNumbers takes n numbers for result rows.
func (j *job) takeNumbers(ctx context.Context, n int) (first int, err error) {
	err = j.updateChecks(ctx, func(c ledger.Checks) (ledger.Checks, bool) {
		counter := &c.DeepJobID
		if j.request.Kind == Surface {
			counter = &c.SurfaceJobID
		}
		first = *counter
		*counter += n
		return c, true
	})
	return first, err
}

func (j *job) surfaceRows() (rows []ledger.CheckResult) {
	for _, c := range j.result.Surface {
		rows = append(rows, ledger.CheckResult{Resource: c.Resource, SourceCount: countText(c.SourceCount), DestinationCount: countText(c.DestinationCount),
			Result: passOrFail(c.Outcome), Detail: c.Reason})
	}
	return rows
}

func countText(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return fmt.Sprint(n)
}

func (j *job) deepRows(ctx context.Context) (rows []ledger.CheckResult, err error) {
	err = j.findings(ctx, j.result.Blobs, func(f Finding) bool {
		row := ledger.CheckResult{Resource: f.Type, ID: f.ID, Result: passOrFail(f.Outcome)}
		if f.Outcome != Equal {
			row.Detail = string(encode(f))
		}
		rows = append(rows, row)
		return len(rows) < maxResultRow
	})
	return rows, err
}

func passOrFail(o Outcome) string {
	switch {
	case o == NotVerifiable:
		return "NotVerifiable"
	case o.wrong():
		return "Fail"
	}
	return "Pass"
}

// findings hands the findings in blobs to yield until it wants no more.
func (v *Verify) findings(ctx context.Context, blobs []string, yield func(Finding) (more bool)) error {
	for _, blob := range blobs {
		more := true
		err := v.Staging.Findings(ctx, blob, func(line string) (bool, error) {
			var f Finding
			if err := json.Unmarshal([]byte(line), &f); err != nil {
				return false, fmt.Errorf("finding in %s: %w", blob, err)
			}
			more = yield(f)
			return more, nil
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}
