package fhirservice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// orchestration is the tenth of an import's time that passes before the first processing unit is at work.
const orchestration = 10

// importWork is the work of an import job. Its inputs are read in the background from the start; each unit is loaded into the store when its time has come.
type importWork struct {
	service    *Service
	job        *job
	definition *importDefinition
	faults     hits

	started      time.Time
	read         chan struct{} // closed when the background is done with the fields below
	units        []*unit
	failure      *Failure
	orchestrated bool // the units are known to the status endpoint
	finished     bool // the time is up: result or failure is visible
	flip         bool // a byte is still to be changed
}

// start is called with the schedule locked.
func (w *importWork) start(ctx context.Context, at time.Time) {
	w.started, w.read = at, make(chan struct{})
	w.flip = w.faults.first(func(f *Fault) bool { return f.FlipByte }) != nil
	w.service.schedule.backgroundLocked(func() {
		defer close(w.read)
		units, err := w.readInputs(ctx)
		if err != nil {
			w.failure = failureOf(err)
			return
		}
		w.units = units
		w.spoil()
	})
}

// spoil marks the lines that faults are about. Lines that are refused anyway do not count.
func (w *importWork) spoil() {
	refuse, drop, lose := 0, 0, 0
	for _, f := range w.faults {
		refuse, drop, lose = refuse+f.RefuseLines, drop+f.ShortImport, lose+f.LoseLines
	}
	for _, u := range w.units {
		for i := range u.lines {
			l := &u.lines[i]
			switch {
			case l.problem != "":
			case refuse > 0:
				refuse--
				l.problem = "The resource was refused because a fault was asked for."
			case drop > 0:
				drop--
				l.dropped = true
			case lose > 0:
				lose--
				l.lost = true
			}
		}
	}
}

// milestones wait until the inputs are read. First the orchestrator ends, then one unit after the other, each after its share of lines.
func (w *importWork) milestones() []milestone {
	<-w.read
	total := 0
	for _, u := range w.units {
		u.id = w.service.schedule.nextIDLocked()
		total += len(u.lines)
	}
	whole := workTime(w.service.o.ImportTime, total)
	begun := w.started.Add(whole / orchestration)
	plan := []milestone{{at: begun, reach: w.orchestrate}}
	if w.failure != nil {
		return plan
	}
	done := 0
	for i, u := range w.units {
		done += len(u.lines)
		at := begun.Add(share(whole-whole/orchestration, done, total))
		plan = append(plan, milestone{at: at, reach: func() bool { return w.process(u, at, i == len(w.units)-1) }})
	}
	return plan
}

// orchestrate is reached when all inputs are known to be there, or one is not.
func (w *importWork) orchestrate() bool {
	if w.failure != nil {
		w.finished = true
		return false
	}
	w.orchestrated = true
	return true
}

// process loads one unit. A failure ends the import and leaves what was loaded before.
func (w *importWork) process(u *unit, at time.Time, last bool) bool {
	input := w.definition.Inputs[u.input].URL
	if f := w.faults.first(func(f *Fault) bool { return f.FailJob != nil }); f != nil && last {
		return w.fail(f.FailJob.blaming(input))
	}
	if f := w.missing(input); f != nil {
		return w.fail(f.blaming(input))
	}
	if err := w.load(u, at); err != nil {
		return w.fail(failureOf(err).blaming(input))
	}
	u.done = true
	w.finished = last
	return !last
}

// missing is how a unit fails whose input is not there any more, or closed to the service: each worker reads its part when its turn comes. (Here all
// is read at the start, and only the presence is looked at again.)
func (w *importWork) missing(input string) *Failure {
	container, name, err := w.service.blobs.address(input)
	if err == nil {
		_, err = w.service.blobs.etag(w.service.schedule.ctx, container, name)
	}
	var answered *azcore.ResponseError
	if errors.As(err, &answered) && (answered.StatusCode == http.StatusNotFound || answered.StatusCode == http.StatusForbidden) {
		return &Failure{Status: http.StatusBadRequest, Reason: fmt.Sprintf("The input cannot be read: storage answered %d.", answered.StatusCode)}
	}
	return nil
}

// blaming names the input at which a worker failed. A status other than 400 is one that the orchestrator fails with, which names none, or 500, of which the
// reason is hidden.
func (f *Failure) blaming(input string) *Failure {
	if f.Status != http.StatusBadRequest {
		return f
	}
	return &Failure{Status: f.Status, Reason: f.Reason + " ErrorFile: " + input}
}

func (w *importWork) fail(f *Failure) bool {
	w.failure, w.finished = f, true
	return false
}

// load merges the lines of a unit in batches and writes its error log.
func (w *importWork) load(u *unit, at time.Time) error {
	m := &merge{
		store: w.service.store, now: at, flip: &w.flip, refused: map[*importLine]string{},
		initialLoad: w.definition.InitialLoad, allowNegative: w.definition.AllowNegative,
	}
	lines := make([]*importLine, 0, len(u.lines))
	for i := range u.lines {
		if !u.lines[i].dropped {
			lines = append(lines, &u.lines[i])
		}
	}
	for batch := range slices.Chunk(lines, mergeBatch) {
		accepted, err := m.load(batch)
		if err != nil {
			return err
		}
		u.counts.accepted += accepted
	}
	u.counts.refused = len(m.refused)
	defer func() { u.lines = nil }() // the job is remembered for ever, its lines need not be
	return w.writeLog(u, m.refused)
}

// errorLogEntry is one line of an error log: an OperationOutcome without a code. Its line number counts from the start of the unit.
type errorLogEntry struct {
	ResourceType string  `json:"resourceType"`
	Issue        []issue `json:"issue"`
}

// writeLog writes the refused lines of a unit to the blob that the status names.
func (w *importWork) writeLog(u *unit, refused map[*importLine]string) error {
	if len(refused) == 0 {
		return nil
	}
	var log bytes.Buffer
	times := 1 + count(w.faults.first(func(f *Fault) bool { return f.RepeatLog }) != nil)
	for i := range u.lines {
		l := &u.lines[i]
		reason, ok := refused[l]
		if !ok {
			continue
		}
		entry := append(encode(errorLogEntry{ResourceType: "OperationOutcome", Issue: []issue{{
			Severity: "error", Details: &codeConcept{Text: reason},
			Diagnostics: fmt.Sprintf("Failed to process resource at line: %d with stream start offset: %d", l.index, u.offset),
		}}}), '\n')
		log.Write(bytes.Repeat(entry, times))
	}
	container := w.definition.ErrorContainer
	if container == "" {
		container = defaultErrorContainer
	}
	ctx, blobs := w.service.schedule.ctx, w.service.blobs
	err := blobs.makeContainer(ctx, container)
	if err == nil {
		name := fmt.Sprintf("%s%d_%d.ndjson", w.definition.Inputs[u.input].Type, w.job.id, u.id)
		u.logURL, err = blobs.put(ctx, container, name, log.Bytes())
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return &Failure{Status: http.StatusBadRequest, Reason: fmt.Sprintf("The error log cannot be written to the container '%s'.", container)}
	}
	return err
}
