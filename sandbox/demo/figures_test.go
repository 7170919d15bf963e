package demo

import (
	"os"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

func TestBusyIsTheUnion(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Date(2026, 3, 1, 0, 0, s, 0, time.UTC) }
	source := []fhirservice.Interval{{Start: at(0), End: at(10)}, {Start: at(20), End: at(30)}}
	destination := []fhirservice.Interval{{Start: at(5), End: at(12)}, {Start: at(22), End: at(25)}, {Start: at(30), End: at(31)}, {Start: at(50), End: at(50)}}
	if got, want := busy(source, destination), 23*time.Second; got != want {
		t.Errorf("busy for %s, want %s", got, want)
	}
	if got := busy(nil, nil); got != 0 {
		t.Errorf("busy for %s without jobs", got)
	}
}

func TestParseResident(t *testing.T) {
	t.Parallel()
	got, err := parseResident("Name:\thandler\nVmPeak:\t 1240000 kB\nVmRSS:\t   16800 kB\nThreads:\t7\n")
	if err != nil || got != 16800<<10 {
		t.Errorf("%d, %v, want %d", got, err, 16800<<10)
	}
	for name, status := range map[string]string{"zombie": "Name:\thandler\nState:\tZ (zombie)\n", "other unit": "VmRSS:\t 17 MB\n"} {
		if _, err := parseResident(status); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestResidentMemory(t *testing.T) {
	t.Parallel()
	if got, err := residentMemory(os.Getpid()); err != nil || got < 1<<20 {
		t.Errorf("this process: %d bytes, %v", got, err)
	}
	if _, err := residentMemory(0); err == nil {
		t.Error("process 0: no error")
	}
}
