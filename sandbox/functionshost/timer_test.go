package functionshost

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// firing is one run of a timer in a test.
type firing struct {
	at    time.Duration // since the bubble's begin, which is a midnight
	cause string
	last  time.Duration // of the status shown, -1 when there was none
	next  time.Duration
}

// fireFor runs a timer in a bubble of fake time. Run n takes lengths[n], or no time when there are no more.
func fireFor(t *testing.T, schedule string, onStartup bool, total time.Duration, lengths ...time.Duration) []firing {
	var got []firing
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		since := func(moment time.Time) time.Duration {
			if moment.IsZero() {
				return -1
			}
			return moment.Sub(begin)
		}
		parsed, err := parseSchedule(schedule)
		if err != nil {
			t.Fatal(err)
		}
		f := &function{schedule: parsed, runOnStartup: onStartup}
		running := false
		timer := newTimer(f, time.Now, func(ctx context.Context, cause string, s timerStatus) {
			if running {
				t.Error("two runs overlap")
			}
			running = true
			got = append(got, firing{at: since(time.Now()), cause: cause, last: since(s.last), next: since(s.next)})
			if n := len(got) - 1; n < len(lengths) {
				sleep(ctx, lengths[n])
			}
			running = false
		})
		ctx, cancel := context.WithTimeout(t.Context(), total)
		defer cancel()
		timer.run(ctx)
	})
	return got
}

// Section 5: when timers fire, one run at a time.
func TestTimerFires(t *testing.T) {
	t.Parallel()
	const s, min = time.Second, time.Minute
	cases := map[string]struct {
		schedule  string
		onStartup bool
		lengths   []time.Duration
		want      []firing
	}{
		"by its schedule": {
			schedule: "0 * * * * *",
			want:     []firing{{at: min, cause: "schedule", last: -1, next: min}, {at: 2 * min, cause: "schedule", last: min, next: 2 * min}, {at: 3 * min, cause: "schedule", last: 2 * min, next: 3 * min}},
		},
		"by its interval": {
			schedule: "00:01:30",
			want:     []firing{{at: 90 * s, cause: "schedule", last: -1, next: 90 * s}, {at: 180 * s, cause: "schedule", last: 90 * s, next: 180 * s}},
		},
		"at startup too": {
			schedule: "0 */2 * * * *", onStartup: true,
			want: []firing{{at: 0, cause: "startup", last: -1, next: 2 * min}, {at: 2 * min, cause: "schedule", last: 0, next: 2 * min}},
		},
		// The run at 1:00 takes until 2:30 and misses 2:00: one run follows at once. The one at 2:30 ends in time for 3:00.
		"after a long run at once": {
			schedule: "0 * * * * *", lengths: []time.Duration{90 * s},
			want: []firing{{at: min, cause: "schedule", last: -1, next: min}, {at: 150 * s, cause: "schedule", last: min, next: 2 * min}, {at: 180 * s, cause: "schedule", last: 150 * s, next: 180 * s}},
		},
		// The run at 0:30 takes until 2:10 and misses three slots, which are merged.
		"once for all missed slots": {
			schedule: "*/30 * * * * *", lengths: []time.Duration{100 * s},
			want: []firing{
				{at: 30 * s, cause: "schedule", last: -1, next: 30 * s}, {at: 130 * s, cause: "schedule", last: 30 * s, next: 60 * s},
				{at: 150 * s, cause: "schedule", last: 130 * s, next: 150 * s}, {at: 180 * s, cause: "schedule", last: 150 * s, next: 180 * s},
			},
		},
		"never": {schedule: "0 0 0 30 2 *"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := fireFor(t, c.schedule, c.onStartup, 181*s, c.lengths...)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(firing{})); diff != "" {
				t.Errorf("firings (-want +got):\n%s", diff)
			}
		})
	}
}

// Sections 2.1 and 2.2: the request and the envelope of a monitored timer, to the letter.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve")
	a.timer(t, "Echo", `"schedule":"0 */5 * * * *"`)
	a.options.Clock = func() time.Time { return time.Date(2026, 1, 5, 12, 3, 0, 4_300_000, time.FixedZone("", 2*60*60)) }
	h := a.start(t)
	inv := invoke(t, h, "Echo")
	got := decode[received](t, inv.Logs[0])

	if got.Method != "POST" || got.Target != "/Echo" || !strings.HasPrefix(got.Host, "127.0.0.1:") || !got.Chunked {
		t.Errorf("got %s %s at %s, chunked %v; want a chunked POST /Echo", got.Method, got.Target, got.Host, got.Chunked)
	}
	header := map[string]string{
		"Content-Type": "application/json; charset=utf-8", "X-Azure-Functions-Invocationid": inv.ID,
		"X-Azure-Functions-Hostversion": hostVersion, "User-Agent": "Azure-Functions-Host/" + hostVersion,
	}
	for name, want := range header {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if trace := got.Header.Get("Traceparent"); !regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`).MatchString(trace) {
		t.Errorf("traceparent is %q", trace)
	}

	randGUID := decode[struct {
		Metadata struct{ Sys struct{ RandGuid string } }
	}](t, got.Body).Metadata.Sys.RandGuid
	if _, err := uuid.Parse(randGUID); err != nil {
		t.Errorf("RandGuid %q: %v", randGUID, err)
	}
	want := `{"Data":{"tick":{"Schedule":{"AdjustForDST":true},
		"ScheduleStatus":{"Last":"0001-01-01T00:00:00","Next":"2026-01-05T10:05:00+00:00","LastUpdated":"0001-01-01T00:00:00"},"IsPastDue":false}},
		"Metadata":{"sys":{"MethodName":"Echo","UtcNow":"2026-01-05T10:03:00.0043Z","RandGuid":"` + randGUID + `"}}}`
	if diff := cmp.Diff(decode[any](t, want), decode[any](t, got.Body)); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
}

// 2.2: the status is of before the run, with fractions and offset; an interval does not adjust for DST; without a monitor there is no status.
func TestEnvelopeStatus(t *testing.T) {
	t.Parallel()
	f := &function{Function: Function{Name: "Foo"}, binding: "tick", schedule: interval(2 * time.Minute)}
	type envelope struct {
		Data map[string]struct {
			Schedule       json.RawMessage
			ScheduleStatus json.RawMessage
		}
	}
	status := &timerStatus{last: at(t, "2026-01-05T10:00:00.0012345Z"), next: at(t, "2026-01-05T12:02:00+02:00"), updated: at(t, "2026-01-05T10:00:00.001Z")}
	for want, s := range map[string]*timerStatus{
		"null": nil,
		`{"Last":"2026-01-05T10:00:00.0012345+00:00","LastUpdated":"2026-01-05T10:00:00.001+00:00","Next":"2026-01-05T10:02:00+00:00"}`: status,
	} {
		body, err := timerEnvelope(f, s, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		got := decode[envelope](t, string(body)).Data["tick"]
		if string(got.ScheduleStatus) != want {
			t.Errorf("status %s, want %s", got.ScheduleStatus, want)
		}
		if string(got.Schedule) != `{"AdjustForDST":false}` {
			t.Errorf("schedule %s", got.Schedule)
		}
	}
}

// 2.2 and section 5: no status with useMonitor off, nor for a timer that fires more than once a minute.
func TestUnmonitoredTimers(t *testing.T) {
	t.Parallel()
	for properties, want := range map[string]bool{
		`"schedule":"0 0 0 1 1 *"`:                      true,
		`"schedule":"0 0 0 1 1 *","useMonitor":true`:    true,
		`"schedule":"0 0 0 1 1 *","useMonitor":false`:   false,
		`"schedule":"*/30 * * * * *","useMonitor":true`: false,
	} {
		a := newApp(t, "serve")
		a.timer(t, "Echo", properties)
		body := echo(t, a.start(t)).Body
		if got := !strings.Contains(body, `"ScheduleStatus":null`); got != want {
			t.Errorf("%s: has a status: %v, want %v: %s", properties, got, want, body)
		}
	}
}

// Section 5: real firings through the host: at startup, by a schedule of a setting, not when disabled; failed ones too go on.
func TestHostFiresTimers(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve")
	a.timer(t, "Fails", `"schedule":"%EchoSchedule%"`)
	a.timer(t, "Echo", `"schedule":"0 0 0 1 1 *","runOnStartup":true`)
	a.timer(t, "Object", `"schedule":"%EchoSchedule%"`)
	a.options.Settings["ECHOSCHEDULE"] = "00:00:00.05"
	a.options.Settings["AzureWebJobs.Object.Disabled"] = "true"
	h := a.start(t)
	a.log.await(t, "Function.Fails: Executed (Failed", 3)
	a.log.await(t, "Function.Echo: Executed (Succeeded", 1)
	if strings.Contains(a.log.String(), "Function.Object: ") {
		t.Error("a disabled timer fired")
	}
	causes := map[string][]string{}
	for _, inv := range h.Invocations() {
		causes[inv.Function] = append(causes[inv.Function], inv.Cause)
	}
	if len(causes["Fails"]) < 3 || slices.Contains(causes["Fails"], "startup") || !slices.Equal(causes["Echo"], []string{"startup"}) {
		t.Errorf("causes are %v", causes)
	}
	inv := invoke(t, h, "object") // on demand it runs even so, and names match whatever their case
	if !inv.Succeeded {
		t.Errorf("a disabled function on demand: %+v", inv)
	}
}

// 2.2: a run on demand does not take the timer's turn.
func TestAdminRunOverlaps(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve")
	a.timer(t, "Block", `"schedule":"00:00:00.05"`)
	h := a.start(t)
	a.log.await(t, "Host.Function.Console: blocking", 1)
	go func() { _, _ = h.Invoke(t.Context(), "Block") }() // ends with the host
	a.log.await(t, "Host.Function.Console: blocking", 2)
	if got := strings.Count(a.log.String(), `Executing (Reason="schedule"`); got != 1 {
		t.Errorf("the schedule fired %d times during its own run", got)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	var h Host
	for range historyLimit + 1 {
		h.remember(Invocation{ID: uuid.NewString()})
	}
	h.remember(Invocation{ID: "last"})
	got := h.Invocations()
	if len(got) != historyLimit || got[historyLimit-1].ID != "last" {
		t.Errorf("history has %d invocations, the last is %s", len(got), got[len(got)-1].ID)
	}
}

// A timer that wakes before its slot by the host's clock takes the slot all the same, and not twice.
func TestTimerThatWakesEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s, err := parseSchedule("0 * * * * *")
		if err != nil {
			t.Fatal(err)
		}
		var slots []time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		standing := func() time.Time { return begin }
		newTimer(&function{schedule: s}, standing, func(_ context.Context, _ string, s timerStatus) {
			slots = append(slots, s.next.Sub(begin))
			if len(slots) == 3 {
				cancel()
			}
		}).run(ctx)
		if want := []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute}; !slices.Equal(slots, want) {
			t.Errorf("slots taken %v, want %v", slots, want)
		}
	})
}

// Section 5: without AzureWebJobsStorage a timer that is monitored has no listener; the others fire, and the admin can run it.
func TestTimerWithoutStorage(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"", "azurewebjobsstorage", "AzureWebJobsStorage__accountName", "AzureWebJobsStorage__blobServiceUri"} {
		a := newApp(t, "serve")
		a.timer(t, "Echo", `"schedule":"0 0 0 1 1 *","runOnStartup":true`)
		a.timer(t, "Object", `"schedule":"0 0 0 1 1 *","runOnStartup":true,"useMonitor":false`)
		delete(a.options.Settings, "AzureWebJobsStorage")
		if setting != "" {
			a.options.Settings[setting] = "x"
		}
		h := a.start(t)
		a.log.await(t, "Function.Object: Executed (Succeeded", 1)
		refused := strings.Contains(a.log.String(), "listener for function Echo was unable to start: set AzureWebJobsStorage")
		if refused != (setting == "") {
			t.Errorf("with the setting %q: listener refused %v:\n%s", setting, refused, a.log)
		}
		if setting != "" {
			a.log.await(t, "Function.Echo: Executed (Succeeded", 1)
		}
		echo(t, h)
	}
}
