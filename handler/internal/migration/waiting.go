package migration

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"fhirmigration/handler/internal/fhir"
)

// kindOf is how fhir classified the error of a call, 0 for an error of anything but a FHIR service.
func kindOf(err error) fhir.Kind {
	var e *fhir.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

// jobStatus is the HTTP status that a failed job ended with, 0 when err is not that.
func jobStatus(err error) int {
	var e *fhir.Error
	if errors.As(err, &e) && e.Kind == fhir.JobFailed {
		return e.Status
	}
	return 0
}

// statusOf is the HTTP status of a call that failed, 0 without one.
func statusOf(err error) int {
	var e *fhir.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// nextPoll is when a job that runs, or a service that could not answer, is asked again: after the poll interval, or later
// when the service asked for that.
func (m *Migration) nextPoll(err error) time.Time {
	wait := m.Settings.PollInterval()
	var e *fhir.Error
	if errors.As(err, &e) {
		wait = max(wait, e.RetryAfter)
	}
	return m.Clock().Add(wait)
}

// nextAttempt is when a window is tried again after attempts failed ones: pauses grow from the poll interval to an hour, less up to
// a quarter by chance, so that windows that failed together do not come back together.
func (m *Migration) nextAttempt(attempts int) time.Time {
	pause := m.Settings.PollInterval()
	for range min(attempts, 20) {
		pause = min(2*pause, longestPause)
	}
	return m.Clock().Add(max(m.lessByChance(pause), m.Settings.PollInterval()))
}

// lessByChance takes up to a quarter off a pause.
func (m *Migration) lessByChance(pause time.Duration) time.Duration {
	chance := make([]byte, 1)
	if _, err := m.Random.Read(chance); err != nil {
		return pause
	}
	return pause - pause/4*time.Duration(chance[0])/256
}

// maxAttempts is how often a window may fail before it is held.
func (m *Migration) maxAttempts() int {
	if n := m.Settings.MaxAttempts(); n > 0 {
		return n
	}
	return math.MaxInt32
}

// passing says whether err goes away by itself, so that waiting is all there is to do and nobody need be told: the service
// is busy or away, or the step's own time is over.
func passing(err error) bool {
	return kindOf(err) == fhir.Transient || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// halting says whether err concerns every call that would follow, so that the step ends here. It goes on by itself once the
// cause is gone.
func halting(err error) bool {
	switch kindOf(err) {
	case fhir.Forbidden, fhir.Unauthorized:
		return true
	}
	return false
}

// withRole names the role whose lack is what a 403 means.
func withRole(err error, role, where string) error {
	if kindOf(err) == fhir.Forbidden {
		return fmt.Errorf("%w; give the function app's identity the role %q on the %s FHIR service, then it goes on by itself", err, role, where)
	}
	return err
}

const (
	roleExporter = fhir.RoleExporter
	roleReader   = fhir.RoleReader
	roleImporter = fhir.RoleImporter
)
