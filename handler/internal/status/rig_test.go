package status

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
)

// day0 is where the data of the tests begin, begun when the migration does by the handler's clock.
var (
	day0  = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	begun = day0.AddDate(1, 0, 0)
)

func day(n float64) time.Time { return day0.Add(time.Duration(n * 24 * float64(time.Hour))) }

// rig is a ledger that a migration has left behind half-way, and a Reader of it.
type rig struct {
	*Reader
	t     testing.TB
	now   time.Time
	calls atomic.Int64 // to tables
	chunk ledger.Chunk
}

// newRig makes an empty ledger. changed are app settings without AZURE_.
func newRig(t testing.TB, changed ...string) *rig {
	t.Helper()
	environ := []string{"AZURE_SourceUri=https://source.example", "AZURE_DestinationUri=https://destination.example",
		"AZURE_StagingStorageUri=https://tables.example", "AZURE_BlobStorageUri=https://blobs.example"}
	for _, c := range changed {
		environ = append(environ, "AZURE_"+c)
	}
	set, err := settings.Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, now: begun}
	rows := ledger.OpenMemory(ledger.NewMemory(), ledger.Options{ExportTable: "export", ChunkTable: "chunk", ExceptionTable: "exceptions", PartitionKey: "p", RowKey: "row"})
	rows = rows.Gated(func(_ context.Context, _ ledger.Call, do func() error) error { r.calls.Add(1); return do() })
	every := "*/30 * * * * *"
	r.Reader = New(Options{
		Settings: set, Ledger: rows, Clock: func() time.Time { return r.now },
		Build: Build{"v1", "abc"}, Schedules: map[string]string{"ExportTimer": every, "ImportTimer": every, "VerifyTimer": every},
		Check: func(run ledger.Run) Check {
			return Check{Name: map[string]string{"surface": "SurfaceCheck", "deep": "DeepCheck"}[run.Kind], Run: run.Number, State: string(run.State), Verdict: "equal"}
		},
		CountServers: func(_ context.Context, watermark time.Time) ledger.ServerTotals {
			return ledger.ServerTotals{At: r.now, Source: 1000, SourceBefore: 400, Destination: 390, Watermark: watermark, ClockAt: r.now, ClockAhead: 30_000}
		},
	})
	return r
}

// begin makes the tables and the chunk row.
func (r *rig) begin() *rig {
	r.t.Helper()
	r.must(r.Ledger.CreateTables(r.t.Context()))
	c := ledger.NewChunk(day0)
	c, _ = c.Pin(r.Settings.Pinned())
	r.chunk = got[ledger.Chunk](r.t)(r.Ledger.InsertChunk(r.t.Context(), c))
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// got is the value of a call that must not fail.
func got[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A stage of a window's life, for open.
type stage func(ledger.Window) (ledger.Window, error)

func (r *rig) exporting(w ledger.Window) (ledger.Window, error) {
	w, err := w.Claim("me", r.now, r.now.Add(time.Minute))
	if err != nil {
		return w, err
	}
	return w.ExportStarted("me", fmt.Sprintf("https://source.example/_operations/export/%d", w.Number), fmt.Sprint(w.Number), r.now, r.now)
}

func (r *rig) exported(lines int64) stage {
	return func(w ledger.Window) (ledger.Window, error) {
		w, err := r.exporting(w)
		if err != nil {
			return w, err
		}
		return w.ExportDone(ledger.Manifest{CountsByType: map[string]int64{"Patient": lines}, Payloads: []ledger.Slice{{From: 0, To: 1, Lines: lines}}}, lines, r.now)
	}
}

func (r *rig) importing(lines int64) stage {
	return func(w ledger.Window) (ledger.Window, error) {
		w, err := r.exported(lines)(w)
		if err != nil {
			return w, err
		}
		return w.ImportStarted(0, "https://destination.example/_operations/import/1", "1", r.now, r.now)
	}
}

func (r *rig) done(lines, refused int64) stage {
	return func(w ledger.Window) (ledger.Window, error) {
		w, err := r.importing(lines)(w)
		if err == nil {
			w, err = w.ImportDone(0, lines-refused, refused)
		}
		if err != nil {
			return w, err
		}
		return w.ImportsDone("", "", r.now)
	}
}

func (r *rig) failed(reason string) stage {
	return func(w ledger.Window) (ledger.Window, error) {
		w, err := r.exporting(w)
		if err != nil {
			return w, err
		}
		return w.ExportFailed(reason, r.now, r.now.Add(time.Hour), 5)
	}
}

func (r *rig) held(reason string) stage {
	return func(w ledger.Window) (ledger.Window, error) {
		w, err := r.exporting(w)
		if err != nil {
			return w, err
		}
		return w.Hold(reason, r.now)
	}
}

// window lists a window over days [from, till) and brings it to where the stages leave it; one that is done is closed.
func (r *rig) window(from, till float64, stages ...stage) ledger.Window {
	r.t.Helper()
	ctx := r.t.Context()
	w := ledger.NewWindow(r.chunk.JobID, day(from), day(till))
	var err error
	for _, s := range stages {
		w, err = s(w)
		r.must(err)
	}
	w = got[ledger.Window](r.t)(r.Ledger.InsertWindow(ctx, w))
	c, _ := r.chunk.List(w)
	if w.Phase() == ledger.Done {
		c, _, err = c.Close(w)
		r.must(err)
	}
	r.chunk = got[ledger.Chunk](r.t)(r.Ledger.SaveChunk(ctx, c))
	return w
}

// jump passes over time without data.
func (r *rig) jump(till float64) {
	r.t.Helper()
	c, _ := r.chunk.Jump(r.chunk.Position(), day(till), r.chunk.JobID)
	r.chunk = got[ledger.Chunk](r.t)(r.Ledger.SaveChunk(r.t.Context(), c))
}

// tick lets VerifyTimer sum up until nothing is left.
func (r *rig) tick() TickSummary {
	r.t.Helper()
	return got[TickSummary](r.t)(r.Tick(r.t.Context(), time.Minute))
}

func (r *rig) read() Status {
	r.t.Helper()
	return got[Status](r.t)(r.Read(r.t.Context()))
}

// control changes the control row.
func (r *rig) control(change func(*ledger.Control)) {
	r.t.Helper()
	c := got[ledger.Control](r.t)(r.Ledger.Control(r.t.Context()))
	change(&c)
	got[ledger.Control](r.t)(r.Ledger.SaveControl(r.t.Context(), c))
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	return string(got[[]byte](t)(json.MarshalIndent(v, "", " ")))
}
