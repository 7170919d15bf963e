package migration

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/preflight"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
)

// lookAtFiles looks at the exported files of windows where that is due, and writes files without the lines that an operator left out.
// What does not fit into the tick's time goes on in the next one.
func (t *tick) lookAtFiles(ctx context.Context) error {
	var errs []error
	for i, w := range t.windows {
		if p := w.Phase(); p != ledger.Exported && p != ledger.Importing || !t.hasLookTime(ctx) {
			continue
		}
		var err error
		switch s := w.Preflight.State; {
		case s == ledger.PreflightAccepted:
			t.windows[i], err = t.writeFilesWithout(ctx, w)
		case s == ledger.PreflightLooking:
			t.windows[i], err = t.look(ctx, w, w)
		case t.lookFirst(w):
			t.windows[i], err = t.beginLook(ctx, w)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: look at its files: %w", w.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// hasLookTime says whether the tick has time for more than what comes after a look: a call to a service must still fit.
func (t *tick) hasLookTime(ctx context.Context) bool {
	deadline, bounded := ctx.Deadline()
	spare := (t.Settings.StepBudget() - t.callTime) / 4
	return ctx.Err() == nil && (!bounded || time.Until(deadline) >= t.callTime+spare)
}

// lookFirst says whether the files of w are to be looked at before anything more of it is imported. An operator who released it without
// accepting what was found has mended something.
func (t *tick) lookFirst(w ledger.Window) bool {
	return t.Settings.Preflight == settings.PreflightAll && w.Preflight.State == ledger.PreflightNone
}

// beginLook looks at the files of every payload of w that is not posted. Nothing is saved before there is something to save.
func (t *tick) beginLook(ctx context.Context, w ledger.Window) (ledger.Window, error) {
	var payloads []int
	for i, p := range w.Payloads {
		if p.State == ledger.Unposted {
			payloads = append(payloads, i)
		}
	}
	if len(payloads) == 0 {
		return w, nil
	}
	begun, err := w.LookStarted(payloads)
	if err != nil {
		return w, err
	}
	return t.look(ctx, w, begun)
}

// lookAfterFailure begins a look at the files of payload i, whose job failed and blames a line: the service then names the file.
func (t *tick) lookAfterFailure(w ledger.Window, i int, cause error, files []staging.File) (ledger.Window, error) {
	if t.Settings.Preflight == settings.PreflightOff || w.Looked(i) || jobStatus(cause) != http.StatusBadRequest {
		return w, nil
	}
	reason := cause.Error()
	if !slices.ContainsFunc(posted(files, w.Payloads[i]), func(f staging.File) bool { return strings.Contains(reason, f.URL) }) {
		return w, nil
	}
	return w.LookStarted([]int{i})
}

// look reads on from where the last tick stopped. was is the row as it is saved, w with the look begun.
func (t *tick) look(ctx context.Context, was, w ledger.Window) (ledger.Window, error) {
	files, err := t.filesOf(ctx, w)
	if err != nil {
		return was, err
	}
	l, err := t.loadLook(ctx, w)
	if err != nil {
		return was, err
	}
	missing := ""
	numbers := lookedAt(w)
	for l.Next.File < len(numbers) && missing == "" {
		ended, err := t.lookAt(ctx, l, numbers[l.Next.File], files)
		switch {
		case errors.Is(err, staging.ErrNotFound):
			missing = files[numbers[l.Next.File]].URL
		case err != nil && ctx.Err() == nil:
			return was, err
		case err != nil || !ended:
			return t.pauseLook(ctx, was, w, l)
		default:
			l.Next = preflight.Place{File: l.Next.File + 1}
		}
	}
	return t.endLook(ctx, was, w, l, files, missing)
}

// lookedAt are the numbers of the files that a look is about.
func lookedAt(w ledger.Window) (numbers []int) {
	for _, i := range w.Preflight.Payloads {
		p := w.Payloads[i]
		if len(p.Only) > 0 {
			numbers = append(numbers, p.Only...)
			continue
		}
		for n := p.From; n < p.To; n++ {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// loadLook goes on with a look that a tick paused. One that was not paused begins anew.
func (t *tick) loadLook(ctx context.Context, w ledger.Window) (*preflight.Look, error) {
	body, err := t.Staging.Look(ctx, w.ExportID, w.Preflight.Look)
	if errors.Is(err, staging.ErrNotFound) {
		return preflight.New(t.Settings.Preflight == settings.PreflightAll), nil
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return preflight.Load(body)
}

// lookAt reads one file. ended is false when the tick's time is over; then l says where to go on.
func (t *tick) lookAt(ctx context.Context, l *preflight.Look, file int, files []staging.File) (ended bool, _ error) {
	now, next := t.Clock(), l.Next
	ended = true
	err := t.Staging.LinesFrom(ctx, files[file].URL, next.Line, next.Offset, func(number, offset int64, line []byte) (bool, error) {
		if ended = t.hasLookTime(ctx); !ended {
			return false, nil
		}
		l.Line(preflight.Place{File: file, Line: number, Offset: offset}, line, now)
		l.Next.Line, l.Next.Offset = number+1, offset+int64(len(line))
		return true, nil
	})
	return ended, err
}

// pauseLook saves how far a look is, then, if it is new, that there is one.
func (t *tick) pauseLook(ctx context.Context, was, w ledger.Window, l *preflight.Look) (ledger.Window, error) {
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	var state bytes.Buffer
	if err := l.Save(&state); err != nil {
		return was, err
	}
	if err := t.Staging.PutLook(ctx, w.ExportID, w.Preflight.Look, state.Bytes()); err != nil {
		return was, err
	}
	t.Log.Info("files are looked at", "event", event.Preflight, "window", w.Number, "files", l.Next.File, "lines", l.Lines, "found", len(l.Findings))
	if was.Preflight.Look == w.Preflight.Look && was.Preflight.State == w.Preflight.State {
		return was, nil
	}
	next, _, err := t.save(ctx, was, w, nil)
	return next, err
}

// endLook tells what was found. What would fail the import, or has to be decided before, holds the window; what is to be left out when that is
// accepted is saved first.
func (t *tick) endLook(ctx context.Context, was, w ledger.Window, l *preflight.Look, files []staging.File, missing string) (ledger.Window, error) {
	name := func(n int) string { return files[n].URL }
	if len(l.Findings) == 0 || missing != "" {
		note := ""
		if missing != "" {
			note = fmt.Sprintf("the exported files could not be looked at, the import will say so: %s is not there", missing)
		}
		next, moveErr := w.LookEnded(note, t.Clock())
		next, _, err := t.save(ctx, was, next, moveErr)
		return next, err
	}
	where, err := t.Staging.PutLookFindings(ctx, w.ExportID, w.Preflight.Look, findingsText(l, name))
	if err != nil {
		return was, err
	}
	summary := fmt.Sprintf("a look at %d exported lines found: %s; every finding is in %s", l.Lines, l.Summary(name), where)
	t.Log.Warn("files were looked at", "event", event.Preflight, "window", w.Number, "findings", summary)
	if !l.Fails() {
		next, moveErr := w.LookEnded(summary+"; these lines are imported as they are, and refused lines become exceptions", t.Clock())
		next, _, err := t.save(ctx, was, next, moveErr)
		return next, err
	}
	if l.TooMany() {
		next, moveErr := w.LookTooMany(summary+"; too many lines would have to be left out: mend them at the source, then retry the window", t.Clock())
		next, _, err := t.save(ctx, was, next, moveErr)
		return next, err
	}
	out, err := t.leftOut(w, l, files)
	if err == nil {
		err = t.Staging.PutLeftOut(ctx, w.ExportID, w.Preflight.Look, out)
	}
	if err != nil {
		return was, err
	}
	what := fmt.Sprintf("%s. To import the rest, accept that %d lines are left out and become exceptions: POST /api/Windows/%d/acceptFindings. "+
		"Or mend them at the source and retry the window. To import them as they are, set AZURE_Preflight to off and release the window", summary, l.LeftOut, w.Number)
	next, moveErr := w.LookHeld(what, t.Clock())
	next, _, err = t.save(ctx, was, next, moveErr)
	return next, err
}

// findingsText are the findings for a person: one JSON object a line.
func findingsText(l *preflight.Look, file func(int) string) []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	for _, f := range l.Findings {
		_ = e.Encode(struct { // into memory: it cannot fail
			File     string `json:"file"`
			Line     int64  `json:"line"`   // from 1
			Offset   int64  `json:"offset"` // bytes
			Type     string `json:"type,omitempty"`
			ID       string `json:"id,omitempty"`
			Finding  string `json:"finding"`
			Detail   string `json:"detail"`
			Value    string `json:"value,omitempty"` // of the resource: here alone
			WhatToDo string `json:"whatToDo"`
			LeftOut  bool   `json:"leftOutWhenAccepted"`
		}{file(f.File), f.Line + 1, f.Offset, f.Type, f.ID, string(f.Kind), f.Detail, f.Value, f.Kind.WhatToDo(), f.LeaveOut})
	}
	return text.Bytes()
}

// leftOut are the lines to leave out, file by file.
func (t *tick) leftOut(w ledger.Window, l *preflight.Look, files []staging.File) (out staging.LeftOut, _ error) {
	at := map[int]int{}
	for _, f := range l.Findings {
		if !f.LeaveOut {
			continue
		}
		i, there := at[f.File]
		if !there {
			without, err := t.Staging.WithoutURL(w.ExportID, files[f.File].URL, w.Preflight.Look, f.File)
			if err != nil {
				return out, err
			}
			i = len(out.Files)
			at[f.File] = i
			out.Files = append(out.Files, staging.LeftOutFile{File: f.File, Type: files[f.File].Type, URL: files[f.File].URL, Without: without})
		}
		out.Files[i].Lines = append(out.Files[i].Lines, staging.LeftOutLine{Line: f.Line, Offset: f.Offset, ID: f.ID, Kind: string(f.Kind), Detail: f.Detail})
	}
	for _, f := range out.Files {
		slices.SortFunc(f.Lines, func(a, b staging.LeftOutLine) int { return cmp.Compare(a.Offset, b.Offset) })
	}
	return out, nil
}
