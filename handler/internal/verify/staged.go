package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

const (
	// chunkLines is how many lines of a file are looked up together, and chunkBytes how long they may be together; the destination's are as long again.
	chunkLines = fhir.MaxIDs
	chunkBytes = 4 << 20
	// filePieces is into how many ranges the files of a window are cut at a time.
	filePieces = 8
	// keptManifests is how many manifests a step remembers: one has megabytes when it has many files.
	keptManifests = 8
)

// manifests are those of a few windows, so that each is not read for every file.
type manifests struct {
	mu   sync.Mutex
	kept map[int][]staging.File
}

// exportedFiles are the files of a window that are looked at, by URL.
func (j *job) exportedFiles(ctx context.Context, number int) (w ledger.Window, files []staging.File, err error) {
	w, err = j.Ledger.Window(ctx, number)
	if err != nil {
		return w, nil, err
	}
	j.manifests.mu.Lock()
	files, ok := j.manifests.kept[number]
	j.manifests.mu.Unlock()
	if ok || w.ExportID == "" { // nothing was exported
		return w, files, nil
	}
	m, err := j.Staging.Manifest(ctx, w.ExportID)
	if err != nil {
		return w, nil, err
	}
	files = slices.DeleteFunc(m.Files, func(f staging.File) bool { return !j.wants(f.Type) })
	j.manifests.mu.Lock()
	defer j.manifests.mu.Unlock()
	if j.manifests.kept == nil || len(j.manifests.kept) >= keptManifests {
		j.manifests.kept = map[int][]staging.File{}
	}
	j.manifests.kept[number] = files
	return w, files, nil
}

// window decides what to do with one window: compare all its files, or pick a sample from them.
func (j *job) window(ctx context.Context, u unit) (part, error) {
	w, ok, err := j.windowIn(ctx, u.Window, j.request.period())
	if err != nil || !ok {
		return part{}, err
	}
	_, files, err := j.exportedFiles(ctx, u.Window)
	if err != nil || len(files) == 0 {
		return part{size: w.ExportedLines()}, err
	}
	if j.request.All {
		return part{more: pieces(unit{Task: taskFiles, Window: u.Window, To: len(files)}, files)}, nil
	}
	lines := map[string]int64{}
	for _, f := range files {
		lines[f.Type] += f.Count
	}
	return part{apply: func(c *cursor, _ *result) {
		if c.Before == nil {
			c.Before = map[string]int64{}
		}
		for typ, n := range lines {
			q := c.Quotas[typ]
			if positions := j.positions(typ, q, c.Before[typ], n); len(positions) > 0 {
				c.Units = append(c.Units, unit{Task: taskPick, Type: typ, Window: u.Window, Line: c.Before[typ], Size: int64(len(positions))})
			}
			c.Before[typ] += n
		}
	}}, nil
}

// pieces cuts a range of files into a few of about the same length. That of one file bears its type.
func pieces(u unit, files []staging.File) (all []unit) {
	length := u.To - u.From
	n := min(length, filePieces)
	for i := range n {
		piece := u
		piece.From, piece.To = u.From+length*i/n, u.From+length*(i+1)/n
		if piece.To == piece.From+1 {
			piece.Type, piece.Size = files[piece.From].Type, files[piece.From].Count
		}
		all = append(all, piece)
	}
	return all
}

// files compares an exported file, at most a thousand lines at a time, or cuts a range of files.
func (j *job) files(ctx context.Context, u unit) (part, error) {
	_, all, err := j.exportedFiles(ctx, u.Window)
	switch {
	case err != nil:
		return part{}, err
	case u.To > len(all):
		return part{}, fmt.Errorf("window %d has %d files and had %d: its manifest was replaced", u.Window, len(all), u.To)
	case u.To-u.From > 1:
		return part{more: pieces(u, all)}, nil
	}
	f := all[u.From]
	var p part
	done, err := j.file(ctx, f, &u, &p)
	if err != nil {
		return part{size: max(f.Count-u.Line, 0)}, err
	}
	if !done {
		u.Tries, u.Size = 0, max(f.Count-u.Line, 0)
		p.more = []unit{u} // what is done is handed in now, so that it is saved
	}
	return p, nil
}

// maxChunks is how many chunks of a file are compared before the rest becomes a unit of its own.
const maxChunks = 20

// file compares a file from u.Line on. done is false when the file was left for later at u.Line.
func (j *job) file(ctx context.Context, f staging.File, u *unit, p *part) (done bool, err error) {
	var chunk []fhir.Resource
	chunks, bytes := 0, 0
	flush := func() error {
		items := chunk
		chunk, bytes = nil, 0
		chunks++
		return j.expectLines(ctx, items, *u, p, false)
	}
	lines := u.Line
	done = true
	err = j.Staging.Lines(ctx, f.URL, u.Line, func(line string) (bool, error) {
		if lines++; !j.parsed(line, f, lines, &chunk, p) {
			return true, nil
		}
		if bytes += len(line); len(chunk) < chunkLines && bytes < chunkBytes {
			return true, nil
		}
		if err := flush(); err != nil {
			return false, err
		}
		done = chunks < maxChunks
		return done, nil
	})
	if err == nil && len(chunk) > 0 {
		err = flush()
	}
	if err != nil {
		return false, err
	}
	u.Line = lines
	if done && lines != f.Count {
		p.merge(part{counts: map[string]Counts{f.Type: {NotVerifiable: max(f.Count-lines, lines-f.Count)}},
			reasons: []string{fmt.Sprintf("%s has %d lines, the manifest says %d", f.URL, lines, f.Count)}})
	}
	return done, nil
}

// parsed reads a line into the chunk. A line that is no resource is not verifiable; one outside of what was asked for is passed over.
func (j *job) parsed(line string, f staging.File, number int64, chunk *[]fhir.Resource, p *part) bool {
	r, err := resourceOf(line)
	if err == nil && r.Type != f.Type {
		err = fmt.Errorf("it is a %s", r.Type)
	}
	if err != nil {
		p.add(Finding{Type: f.Type, Outcome: NotVerifiable, Note: fmt.Sprintf("line %d of %s: %v", number, f.URL, err)}, false)
		return false
	}
	if r.Deleted = hasDeletedMark(line); j.unwanted(r) || r.LastUpdated.Before(j.request.Since) || r.LastUpdated.After(j.request.Till) {
		return false
	}
	*chunk = append(*chunk, r)
	return true
}

func resourceOf(line string) (fhir.Resource, error) {
	if !readable(line) {
		return fhir.Resource{}, ErrNotJSON
	}
	return fhir.ParseResource(line)
}

// expectLines looks for exported lines of one type at the destination. Most are current there and come in one search; the others were superseded by later windows,
// or are deletions, and are asked for as versions.
func (j *job) expectLines(ctx context.Context, items []fhir.Resource, u unit, p *part, keep bool) error {
	if len(items) == 0 {
		return nil
	}
	there, err := current(ctx, j.Destination, items)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	var others []fhir.Resource
	for _, r := range items {
		found, ok := there[r.ID]
		if ok && !r.Deleted && (j.request.Plan.NewVersions || found.VersionID == r.VersionID || sameMillisecond(found.LastUpdated, r.LastUpdated)) {
			p.add(j.pair(r, found), keep)
			continue
		}
		others = append(others, r)
	}
	if j.request.Plan.NewVersions {
		return j.expectCurrent(ctx, slices.DeleteFunc(others, func(r fhir.Resource) bool { return r.Deleted }), u, p, keep)
	}
	return j.expectVersions(ctx, others, u, p, keep)
}
