package demo

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// busy is how long at least one of the services was at work on a job: the length of the union of their intervals.
func busy(services ...[]fhirservice.Interval) time.Duration {
	all := slices.Concat(services...)
	slices.SortFunc(all, func(a, b fhirservice.Interval) int { return a.Start.Compare(b.Start) })
	var total time.Duration
	var reached time.Time
	for _, interval := range all {
		from := interval.Start
		if from.Before(reached) {
			from = reached
		}
		if interval.End.After(from) {
			total += interval.End.Sub(from)
			reached = interval.End
		}
	}
	return total
}

// residentMemory is the resident set of a process in bytes, as Linux tells it.
func residentMemory(pid int) (int64, error) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	return parseResident(string(text))
}

// parseResident finds the line "VmRSS:   12345 kB".
func parseResident(status string) (int64, error) {
	for line := range strings.Lines(status) {
		rest, found := strings.CutPrefix(line, "VmRSS:")
		if !found {
			continue
		}
		kilobytes, ok := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		n, err := strconv.ParseInt(kilobytes, 10, 64)
		if !ok || err != nil {
			return 0, fmt.Errorf("read memory: %q is no size", strings.TrimSpace(line))
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("read memory: no VmRSS: the process has ended")
}
