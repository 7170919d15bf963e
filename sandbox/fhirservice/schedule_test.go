package fhirservice

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// Two workers, four jobs of 10 minutes: two at a time, with a gap before the last.
func TestBusyMergesWhatOverlaps(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{Workers: 2, ExportTime: func(int) time.Duration { return 10 * time.Minute }})
	b.get("/$export", kickOff...)
	b.clock.Advance(5 * time.Minute)
	b.get("/$export", kickOff...)
	b.get("/$export", kickOff...) // begins when the first ends
	b.clock.Advance(time.Hour)
	b.get("/$export", kickOff...)
	b.clock.Advance(3 * time.Minute)
	want := []Interval{{noon, noon.Add(20 * time.Minute)}, {noon.Add(65 * time.Minute), noon.Add(68 * time.Minute)}}
	if diff := cmp.Diff(want, b.Busy()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A job reads the store when a worker takes it, not when it was asked for and not when somebody polls.
func TestJobReadsTheStoreWhenItStarts(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{Workers: 1, ExportTime: func(int) time.Duration { return 10 * time.Minute }})
	put := func(id string) {
		b.want(b.call(http.MethodPut, "/Patient/"+id, `{"resourceType":"Patient","id":"`+id+`"}`, jsonBody), 201, "")
	}
	b.get("/$export", kickOff...)
	at := b.get("/$export?_till=2025", kickOff...).header.Get("Content-Location")
	b.clock.Advance(time.Minute)
	put("before")
	b.clock.Advance(10 * time.Minute)
	put("after")
	b.clock.Advance(10 * time.Minute)
	if got := b.lines(parse[manifest](b.want(b.get(at), 200, ""))); !cmp.Equal(got, []string{"Patient/before/1"}) {
		t.Errorf("section 1.3: exported %v", got)
	}
}

// Many callers at once, with jobs that come to an end between their calls.
func TestConcurrentCallers(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{ExportTime: func(int) time.Duration { return time.Second }, ImportTime: func(int) time.Duration { return time.Second }})
	_, upload := b.container()
	const callers, rounds = 6, 15
	var files []string
	for c := range callers {
		files = append(files, upload(fmt.Sprint("file", c), line(fmt.Sprint("imported", c), "1", -60, "")))
	}
	var group errgroup.Group
	for c := range callers {
		group.Go(func() error {
			imported := b.postImport(importBody(files[c])).header.Get("Content-Location")
			exported := b.get("/$export", kickOff...).header.Get("Content-Location")
			for i := range rounds {
				id := fmt.Sprintf("c%d-%d", c, i)
				b.call(http.MethodPut, "/Patient/"+id, `{"resourceType":"Patient","id":"`+id+`"}`, jsonBody)
				b.get("/?_summary=count")
				b.get("/_history?_count=5")
				b.get(exported)
				b.get(imported)
				b.clock.Advance(100 * time.Millisecond)
				b.Busy()
			}
			b.clock.Advance(time.Hour)
			for _, at := range []string{imported, exported} {
				if got := b.get(at); got.status != 200 {
					return fmt.Errorf("%s ends with %d: %s", at, got.status, got.body)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if got := len(b.Versions()); got != callers*(rounds+1) {
		t.Errorf("%d versions, want %d", got, callers*(rounds+1))
	}
}

// A cancelled job gives its worker back at its heartbeat, or at its end when that comes first.
func TestCancelledJobsStopAtTheirHeartbeatOrEnd(t *testing.T) {
	t.Parallel()
	for length, want := range map[time.Duration]time.Duration{10 * time.Second: 10 * time.Second, time.Hour: 31 * time.Second} {
		b := setupStorage(t, Options{ExportTime: func(int) time.Duration { return length }})
		at := b.get("/$export", kickOff...).header.Get("Content-Location")
		b.clock.Advance(time.Second)
		b.want(b.call(http.MethodDelete, at, ""), 202, "")
		b.clock.Advance(2 * time.Hour)
		if diff := cmp.Diff([]Interval{{noon, noon.Add(want)}}, b.Busy()); diff != "" {
			t.Errorf("section 2.5: a job of %v, -want +got:\n%s", length, diff)
		}
	}
}
