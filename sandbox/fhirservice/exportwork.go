package fhirservice

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	"golang.org/x/sync/errgroup"
)

// rollAt is the size from which a file is closed; it is only looked at between pages.
const rollAt = 64 << 20

// exportWork is the work of an export job. Its rows are read at the start; its files are written in the background, and the manifest shows when the time is up.
type exportWork struct {
	service *Service
	job     *job
	options *exportOptions
	faults  hits

	started  time.Time
	lines    int
	written  chan struct{} // closed when the background is done with the fields below
	output   []exportFile
	failure  *Failure
	finished bool // the time is up: output or failure is visible
}

// exportFile is one entry of the manifest.
type exportFile struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int    `json:"count"`
}

func (h hits) stuck() bool { return h.first(func(f *Fault) bool { return f.StuckJob }) != nil }

// start is called with the schedule locked.
func (w *exportWork) start(ctx context.Context, at time.Time) {
	w.started, w.written = at, make(chan struct{})
	store := w.service.store
	store.mu.RLock()
	subs, err := w.service.selectLocked(w.options, w.job.created)
	store.mu.RUnlock()
	for i := range subs {
		subs[i].id = w.service.schedule.nextIDLocked()
		w.lines += len(subs[i].rows)
	}
	w.service.schedule.backgroundLocked(func() {
		defer close(w.written)
		if err == nil {
			w.output, err = w.write(ctx, subs)
		}
		w.failure = failureOf(err)
		if f := w.faults.first(func(f *Fault) bool { return f.FailJob != nil }); f != nil {
			w.failure = f.FailJob
		}
		w.spoil()
	})
}

func (w *exportWork) milestones() []milestone {
	return []milestone{{at: w.started.Add(workTime(w.service.o.ExportTime, w.lines)), reach: func() bool {
		<-w.written
		w.finished = true
		return false
	}}}
}

// failureOf is the stored outcome of a job that met an error, nil for none: a Failure as it is, a storage error with its status.
func failureOf(err error) *Failure {
	var known *Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	}
	return storageFailure(err)
}

// Error makes a Failure something that the steps of a job return.
func (f *Failure) Error() string { return fmt.Sprintf("%d: %s", f.Status, f.Reason) }

// write writes the files of all sub-jobs and returns them sorted by type alone.
func (w *exportWork) write(ctx context.Context, subs []subJob) ([]exportFile, error) {
	if w.service.blobs == nil {
		return nil, errNoAccount
	}
	container, folder := fmt.Sprintf("export-%d", w.job.id), ""
	if w.options.container != "" {
		container, folder = w.options.container, fmt.Sprintf("%s-%d/", w.job.created.UTC().Format("20060102T150405"), w.job.id)
	}
	if err := w.service.checkAnonymization(ctx, w.options.anonymize); err != nil {
		return nil, err
	}
	if err := w.service.blobs.makeContainer(ctx, container); err != nil {
		return nil, err
	}
	outputs := make([][]exportFile, len(subs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, sub := range subs {
		group.Go(func() error {
			f := &fileWriter{blobs: w.service.blobs, container: container, prefix: folder, sub: sub.id, open: map[string]*openFile{}}
			err := f.writePages(ctx, sub.rows, w.options)
			outputs[i] = f.output
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := slices.Concat(outputs...)
	slices.Reverse(all) // the order within a type is nobody's business
	slices.SortStableFunc(all, func(a, b exportFile) int { return cmp.Compare(a.Type, b.Type) })
	return all, nil
}

// spoil does to the manifest what faults ask for.
func (w *exportWork) spoil() {
	if w.faults.first(func(f *Fault) bool { return f.EmptyResult }) != nil {
		w.output, w.failure = nil, nil
	}
	if len(w.output) > 0 && w.faults.first(func(f *Fault) bool { return f.ShortManifest }) != nil {
		w.output = w.output[:len(w.output)-1]
	}
}

// fileWriter writes the files of one sub-job: one for each type, and further ones when a file is full at the end of a page.
type fileWriter struct {
	blobs     *blobs
	container string
	prefix    string
	sub       int64
	open      map[string]*openFile
	output    []exportFile
}

type openFile struct {
	seq   int
	lines int
	data  bytes.Buffer
}

func (f *fileWriter) writePages(ctx context.Context, rows []*row, o *exportOptions) error {
	for page := range slices.Chunk(rows, o.perFile) {
		for _, r := range page {
			if err := f.add(r, o); err != nil {
				return err
			}
		}
		if err := f.flush(ctx, rollAt); err != nil {
			return err
		}
	}
	return f.flush(ctx, 1)
}

// add appends a version as a line: as it is stored, a deleted one with its mark.
func (f *fileWriter) add(r *row, o *exportOptions) error {
	raw := r.Raw
	var err error
	if r.Deleted {
		if raw, err = markDeleted(raw); err != nil {
			return err
		}
	}
	if o.anonymize != nil {
		raw = redact(raw, r.Type)
	}
	to := f.open[r.Type]
	if to == nil {
		to = &openFile{seq: 1}
		f.open[r.Type] = to
	}
	to.data.Write(raw)
	to.data.WriteByte('\n')
	to.lines++
	return nil
}

// flush writes the files that hold at least so many bytes.
func (f *fileWriter) flush(ctx context.Context, atLeast int) error {
	types := make([]string, 0, len(f.open))
	for t := range f.open {
		types = append(types, t)
	}
	slices.Sort(types)
	for _, t := range types {
		of := f.open[t]
		if of.data.Len() < atLeast {
			continue
		}
		at, err := f.blobs.put(ctx, f.container, fmt.Sprintf("%s%s-%d-%d.ndjson", f.prefix, t, f.sub, of.seq), of.data.Bytes())
		if err != nil {
			return err
		}
		f.output = append(f.output, exportFile{Type: t, URL: at, Count: of.lines})
		f.open[t] = &openFile{seq: of.seq + 1}
	}
	return nil
}

// anonymizationContainer is where the service looks for configurations, of at most so many bytes.
const (
	anonymizationContainer = "anonymization"
	maxAnonymization       = 1 << 20
)

// checkAnonymization fails the job when its configuration is not there or not the one that was named.
func (s *Service) checkAnonymization(ctx context.Context, a *anonymization) error {
	if a == nil {
		return nil
	}
	etag, err := s.blobs.etag(ctx, anonymizationContainer, a.file)
	if err != nil {
		return &Failure{Status: http.StatusBadRequest, Reason: fmt.Sprintf("The anonymization configuration '%s' was not found.", a.file)}
	}
	content, err := s.blobs.read(ctx, anonymizationContainer, a.file)
	if err != nil || len(content) > maxAnonymization || !gjson.ValidBytes(content) {
		return &Failure{Status: http.StatusBadRequest, Reason: fmt.Sprintf("The anonymization configuration '%s' cannot be read, is too large, or is not JSON.", a.file)}
	}
	if a.etag != "" && a.etag != strings.Trim(etag, `"`) {
		return &Failure{Status: http.StatusBadRequest, Reason: fmt.Sprintf("The anonymization configuration '%s' has the ETag %s, not %s.", a.file, etag, a.etag)}
	}
	return nil
}

// Redacted is a version as a de-identified export has it, whatever the configuration says.
func Redacted(v Version) Version {
	v.Raw = redact(v.Raw, v.Type)
	return v
}

// redact takes what names a patient away.
func redact(raw []byte, typ string) []byte {
	if typ != "Patient" {
		return raw
	}
	for _, path := range []string{"name", "identifier", "address", "telecom"} {
		if less, err := sjson.DeleteBytes(raw, path); err == nil {
			raw = less
		}
	}
	return raw
}
