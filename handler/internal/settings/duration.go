package settings

import "time"

// ChunkLength is the longest length of a window: of a system window, or in type mode of a window of one type.
func (s Settings) ChunkLength() time.Duration {
	n := s.ExportChunkTime
	if !s.IsParallel {
		n = s.ResourceExportChunkTime
	}
	return time.Duration(n) * s.ExportChunkDuration.length()
}

// PollInterval is the shortest time between two polls of one job, at least a millisecond.
func (s Settings) PollInterval() time.Duration { return minutes(s.ScheduleInterval) }

// SafetyLag is how far the end of a window stays behind the source's clock.
func (s Settings) SafetyLag() time.Duration {
	return time.Duration(s.SafetyLagMinutes) * time.Minute
}

// TailInterval is the length of the shortest window at the live end.
func (s Settings) TailInterval() time.Duration {
	return time.Duration(s.TailIntervalMinutes) * time.Minute
}

// ExportDeadline is how long an export may run.
func (s Settings) ExportDeadline() time.Duration {
	return time.Duration(s.ExportDeadlineMinutes) * time.Minute
}

// ImportDeadline is how long an import may run.
func (s Settings) ImportDeadline() time.Duration {
	return time.Duration(s.ImportDeadlineMinutes) * time.Minute
}

// StuckAfter is how long an import may say the same number of lines done, 0 for ever.
func (s Settings) StuckAfter() time.Duration {
	return time.Duration(s.StuckAfterMinutes) * time.Minute
}

// CutoverMaxLag is how far behind the source the migration may be to be ready for the cutover.
func (s Settings) CutoverMaxLag() time.Duration {
	return time.Duration(s.CutoverMaxLagMinutes) * time.Minute
}

// StepBudget is the time one step may take: 40% of the function's time-out, so that the host never kills a step that keeps to it.
func (s Settings) StepBudget() time.Duration { return minutes(s.FunctionTimeoutMinutes) * 4 / 10 }

// ClaimTime is how long a claim holds: the function's time-out, a tenth of it and five seconds, so that no
// claim ends while the function call that took it can still be running.
func (s Settings) ClaimTime() time.Duration {
	timeout := minutes(s.FunctionTimeoutMinutes)
	return timeout + timeout/10 + 5*time.Second
}

// Paused says whether nothing new may start at an instant, and until when: every day from StartTime o'clock on, until just before
// EndTime o'clock, in UTC. Without a pause until is zero.
func (s Settings) Paused(now time.Time) (paused bool, until time.Time) {
	if !s.PauseDm {
		return false, time.Time{}
	}
	now = now.UTC()
	hour := now.Hour()
	if s.StartTime < s.EndTime {
		paused = s.StartTime <= hour && hour < s.EndTime
	} else {
		paused = s.StartTime <= hour || hour < s.EndTime
	}
	if !paused {
		return false, time.Time{}
	}
	day := now.Day()
	if hour >= s.EndTime { // before midnight of a pause that spans it
		day++
	}
	return true, time.Date(now.Year(), now.Month(), day, s.EndTime, 0, 0, 0, time.UTC)
}

func minutes(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }
