package verify

import (
	"context"
	"fmt"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/staging"
)

// positions are those lines of a type, counted through all windows, that are in the sample and lie in [before, before+n), counted from before.
// The sample has one line of each of Take equal stretches.
func (j *job) positions(typ string, q quota, before, n int64) (in []int64) {
	random := j.random(typ)
	for i := range q.Take {
		from, till := scale(q.Of, i, q.Take), scale(q.Of, i+1, q.Take)
		at := from + random.Int64N(max(till-from, 1))
		if at >= before && at < before+n {
			in = append(in, at-before)
		}
	}
	return in
}

// scale is n*i/k without overflow: k is at most a million.
func scale(n, i, k int64) int64 { return n/k*i + n%k*i/k }

// pick compares the lines of one type in a window that are in the sample.
func (j *job) pick(ctx context.Context, u unit) (part, error) {
	_, files, err := j.exportedFiles(ctx, u.Window)
	if err != nil {
		return part{}, err
	}
	var total int64
	for _, f := range files {
		if f.Type == u.Type {
			total += f.Count
		}
	}
	positions := j.positions(u.Type, j.cursor.Quotas[u.Type], u.Line, total)
	p := part{size: int64(len(positions))}
	var chosen []fhir.Resource
	var before int64 // lines of the type in the files before
	for _, f := range files {
		if f.Type != u.Type {
			continue
		}
		var here []int64
		for len(positions) > 0 && positions[0] < before+f.Count {
			here, positions = append(here, positions[0]-before), positions[1:]
		}
		if err := j.chosen(ctx, f, here, &chosen, &p); err != nil {
			return part{size: p.size}, err
		}
		before += f.Count
	}
	if err := j.expectLines(ctx, chosen, u, &p, j.keeps()); err != nil {
		return part{size: p.size}, err
	}
	return p, nil
}

// chosen reads some lines of a file, given by their ascending numbers.
func (j *job) chosen(ctx context.Context, f staging.File, numbers []int64, into *[]fhir.Resource, p *part) error {
	if len(numbers) == 0 {
		return nil
	}
	var line int64
	err := j.Staging.Lines(ctx, f.URL, 0, func(text string) (bool, error) {
		if line == numbers[0] {
			j.parsed(text, f, line+1, into, p)
			numbers = numbers[1:]
		}
		line++
		return len(numbers) > 0, nil
	})
	if err == nil && len(numbers) > 0 {
		p.merge(part{counts: map[string]Counts{f.Type: {NotVerifiable: int64(len(numbers))}},
			reasons: []string{fmt.Sprintf("%s has %d lines, the manifest says %d", f.URL, line, f.Count)}})
	}
	return err
}
