package fhirservice

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// Interval is a span of time by the service's clock.
type Interval struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// work is what a job does. The schedule calls its methods one at a time, in order of the clock.
type work interface {
	// start begins at an instant of the clock: it reads what it needs of the store and leaves slow things to the background.
	start(ctx context.Context, at time.Time)
	// milestones say what happens when, in order and not before the start; the last one ends the job. It may wait for the background.
	milestones() []milestone
}

// milestone is an effect that becomes visible at an instant. It returns false when the job is over, whatever was to come.
type milestone struct {
	at    time.Time
	reach func() bool
}

// jobState is where a job stands.
type jobState int

const (
	queued  jobState = iota // no worker yet
	atWork                  // a worker is on it
	stopped                 // finished, failed or cancelled; the worker is free
)

// job is one export or import.
type job struct {
	id      int64
	op      Operation
	created time.Time
	request string // the URL of the kick-off
	work    work
	stuck   bool // never ends by itself

	state     jobState
	started   time.Time
	ended     time.Time
	plan      []milestone // what is still to come; nil until first asked for
	planned   bool
	cancelled bool
}

// schedule gives jobs to workers, first come, first served. (The service picks from 16 partitions at random; nobody may rely on either.)
// Nothing happens in it but when somebody calls: settle catches up with the clock.
type schedule struct {
	ctx       context.Context // ends the background work
	now       func() time.Time
	workers   int
	heartbeat time.Duration

	mu         sync.Mutex
	lastID     int64
	jobs       map[int64]*job
	order      []*job          // by creation
	registered map[string]*job // imports by the hash of their definition
	closed     bool
	done       sync.WaitGroup
}

func newSchedule(ctx context.Context, now func() time.Time, workers int, heartbeat time.Duration, firstID int64) *schedule {
	return &schedule{ctx: ctx, now: now, workers: workers, heartbeat: heartbeat, lastID: firstID, jobs: map[int64]*job{}, registered: map[string]*job{}}
}

// backgroundLocked runs slow work of a job; wait waits for all of it.
func (s *schedule) backgroundLocked(f func()) {
	if s.closed {
		go f() // a call that Close has overtaken: its context has ended, so does its work
		return
	}
	s.done.Go(f)
}

func (s *schedule) wait() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.done.Wait()
}

// addLocked queues a job and gives it an id; a free worker starts it at once.
func (s *schedule) addLocked(j *job) {
	s.settleLocked()
	j.id, j.created = s.nextIDLocked(), s.now()
	s.jobs[j.id] = j
	s.order = append(s.order, j)
	s.fillLocked(j.created)
}

// nextIDLocked numbers jobs and their sub-jobs.
func (s *schedule) nextIDLocked() int64 {
	s.lastID++
	return s.lastID
}

// settle lets everything happen that was due by now.
func (s *schedule) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked()
}

func (s *schedule) settleLocked() {
	now := s.now()
	for {
		j := s.nextLocked()
		if j == nil || j.plan[0].at.After(now) {
			return
		}
		m := j.plan[0]
		j.plan = j.plan[1:]
		if more := m.reach(); !more || len(j.plan) == 0 {
			j.state, j.ended, j.plan = stopped, m.at, nil
			s.fillLocked(m.at)
		}
	}
}

// nextLocked returns the job at work whose next milestone comes first; of two at the same instant, the older job.
func (s *schedule) nextLocked() *job {
	var next *job
	for _, j := range s.order {
		if j.state != atWork || j.stuck && !j.cancelled {
			continue
		}
		if !j.planned {
			j.plan, j.planned = j.work.milestones(), true
		}
		if next == nil || j.plan[0].at.Before(next.plan[0].at) {
			next = j
		}
	}
	return next
}

// fillLocked gives queued jobs to free workers at an instant.
func (s *schedule) fillLocked(at time.Time) {
	busy := 0
	for _, j := range s.order {
		if j.state == atWork {
			busy++
		}
	}
	for _, j := range s.order {
		if busy >= s.workers {
			return
		}
		if j.state == queued {
			j.state, j.started = atWork, at
			j.work.start(s.ctx, at)
			busy++
		}
	}
}

// cancelLocked stops a job: at once when it is queued, else when it notices at its next heartbeat, unless it ends before. Milestones still to come do not happen.
func (s *schedule) cancelLocked(j *job, now time.Time) {
	if j.cancelled || j.state == stopped {
		j.cancelled = true
		return
	}
	j.cancelled = true
	if j.state == queued {
		j.state, j.started, j.ended = stopped, now, now
		return
	}
	end := now.Add(s.heartbeat)
	if !j.stuck {
		if !j.planned {
			j.plan = j.work.milestones()
		}
		if last := j.plan[len(j.plan)-1].at; last.Before(end) {
			end = last
		}
	}
	j.plan, j.planned = []milestone{{at: end, reach: func() bool { return false }}}, true
	s.settleLocked()
}

// findLocked returns a job of a kind by the id in a URL, or nil.
func (s *schedule) findLocked(op Operation, id int64) *job {
	if j := s.jobs[id]; j != nil && j.op == op {
		return j
	}
	return nil
}

// busy merges the times at which jobs were at work.
func (s *schedule) busy() []Interval {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	var spans []Interval
	for _, j := range s.order {
		switch {
		case j.state == atWork:
			spans = append(spans, Interval{j.started, now})
		case j.state == stopped && j.started.Before(j.ended):
			spans = append(spans, Interval{j.started, j.ended})
		}
	}
	slices.SortFunc(spans, func(a, b Interval) int { return cmp.Compare(a.Start.UnixNano(), b.Start.UnixNano()) })
	merged := []Interval{}
	for _, span := range spans {
		if n := len(merged); n > 0 && !span.Start.After(merged[n-1].End) {
			if span.End.After(merged[n-1].End) {
				merged[n-1].End = span.End
			}
			continue
		}
		merged = append(merged, span)
	}
	return merged
}

// workTime is how long a job with so many lines is at work; never negative.
func workTime(f func(lines int) time.Duration, lines int) time.Duration {
	if f == nil {
		return 0
	}
	return max(f(lines), 0)
}

// share is the part of a duration that belongs to done of total lines.
func share(d time.Duration, done, total int) time.Duration {
	if total == 0 {
		return d
	}
	return time.Duration(math.Round(float64(d) * float64(done) / float64(total)))
}
