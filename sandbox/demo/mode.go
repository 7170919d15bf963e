package demo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/progress"
)

// defaultMode moves the whole system, all versions and all deletions.
const defaultMode = "system"

// mode is a way to migrate that the demo can show: what differs from the mode system. The zero mode is that one.
type mode struct {
	about    string
	settings map[string]string // app settings; an empty value takes one away
	source   fhirservice.Kind  // "": SQL

	// prepare is called before the function app starts, when storage and both FHIR services are there. nil: nothing to do.
	prepare func(ctx context.Context, p *platform, s span) error
	// arrives is what must be at the destination in the end, and nothing else. nil: every version of the source.
	arrives func(source []fhirservice.Version, windows []progress.Window) ([]fhirservice.Version, error)
	// uncounted says that a check may leave open what it cannot find out in this mode.
	uncounted bool
	// staged are the checks that cannot ask the source, and must say that they compare with what was exported.
	staged []string
	// verdict is the demo's last line when just that is there.
	verdict string
}

// modes are the modes by name.
func modes() map[string]mode {
	return map[string]mode{
		defaultMode: {
			about:   "the whole system at once, with every version and every deletion",
			verdict: "Every version and every deletion is at the destination, and equal.",
		},
		"history": {
			about:    "every version, but no deletion: what was deleted at the source stays alive at the destination",
			settings: map[string]string{"AZURE_ExportWithDelete": "false", "AZURE_AllowDeletedToReturn": "true"},
			arrives:  withoutDeletions, uncounted: true,
			verdict: "Every version is at the destination, and equal; no deletion is.",
		},
		"deletes": {
			about:    "of each window the last version of each resource, deletions included: no history beyond that",
			settings: map[string]string{"AZURE_ExportWithHistory": "false"},
			arrives:  lastOfEachWindow,
			verdict:  "The last version of every resource, or its deletion, is at the destination, and equal.",
		},
		"export-only": {
			about:   "a retired Azure API for FHIR, which answers $export and nothing else, with every version and every deletion",
			source:  fhirservice.Cosmos,
			prepare: retire, staged: []string{surfaceCheck, deepCheck},
			verdict: "Every version and every deletion is at the destination, and equal; the source answered exports alone.",
		},
		"type": {
			about:    "one resource type after the other, with every version and every deletion",
			settings: map[string]string{"AZURE_IsParallel": "false", "AZURE_ResourceExportChunkTime": "700", "AZURE_MaxOpenWindows": "40"},
			verdict:  "Every version and every deletion is at the destination, and equal; each window was of one type.",
		},
		"de-identified": {
			about:    "the whole system at once, with every version and every deletion, but without what names a patient",
			settings: map[string]string{"AZURE_IsExportDeidentified": "true", "AZURE_ConfigFile": configurationFile},
			prepare:  configure, staged: []string{deepCheck},
			arrives: redacted,
			verdict: "Every version and every deletion is at the destination, as the de-identified export has it.",
		},
		"takeover": {
			about: "what the durable original left half-done in its tables, with every version and every deletion: windows it closed stay closed, one of them hides a " +
				"payload that was never imported, one was exported and half imported",
			prepare: leaveOriginal,
			verdict: "Every version and every deletion is at the destination, and equal; what the original had closed was not exported again.",
		},
	}
}

// retire lets the source answer exports alone, as a service in the deprecated state does.
func retire(_ context.Context, p *platform, _ span) error {
	p.source.Inject(fhirservice.Fault{Gone: true})
	return nil
}

// configurationFile is the de-identification configuration of the demo. The sandbox's source redacts the same whatever it says.
const configurationFile = "demo.json"

// configure puts the de-identification configuration where the source looks for it.
func configure(ctx context.Context, p *platform, _ span) error {
	account, err := azblob.NewClientFromConnectionString(p.storage.ConnectionString(), nil)
	if err == nil {
		_, err = account.CreateContainer(ctx, "anonymization", nil)
	}
	if err == nil {
		_, err = account.UploadBuffer(ctx, "anonymization", configurationFile, []byte(`{"fhirVersion":"R4"}`), nil)
	}
	if err != nil {
		return fmt.Errorf("put the de-identification configuration there: %w", err)
	}
	return nil
}

func redacted(source []fhirservice.Version, _ []progress.Window) ([]fhirservice.Version, error) {
	all := slices.Clone(source)
	for i, v := range all {
		all[i] = fhirservice.Redacted(v)
	}
	return all, nil
}

// modeNames are the names of all modes, in order.
func modeNames() string { return strings.Join(slices.Sorted(maps.Keys(modes())), ", ") }

func modeNamed(name string) (mode, error) {
	m, known := modes()[name]
	if !known {
		return mode{}, fmt.Errorf("mode %q: choose one of %s", name, modeNames())
	}
	return m, nil
}

// mode is the mode that is shown.
func (o Options) mode() (mode, error) {
	if o.own != nil {
		return *o.own, nil
	}
	return modeNamed(cmp.Or(o.Mode, defaultMode))
}

// expected is what must be at the destination in the end.
func (m mode) expected(source []fhirservice.Version, windows []progress.Window) ([]fhirservice.Version, error) {
	if m.arrives == nil {
		return source, nil
	}
	return m.arrives(source, windows)
}

func withoutDeletions(source []fhirservice.Version, _ []progress.Window) ([]fhirservice.Version, error) {
	return slices.DeleteFunc(slices.Clone(source), func(v fhirservice.Version) bool { return v.Deleted }), nil
}

// lastOfEachWindow is what an export without history takes from a service that shows a window as it was at its end.
func lastOfEachWindow(source []fhirservice.Version, windows []progress.Window) ([]fhirservice.Version, error) {
	type place struct{ typ, id, window string }
	last := map[place]fhirservice.Version{}
	for _, w := range windows {
		since, err := time.Parse(time.RFC3339Nano, w.Since)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name(), err)
		}
		till, err := time.Parse(time.RFC3339Nano, w.Till)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name(), err)
		}
		for _, v := range source {
			at := place{v.Type, v.ID, w.Since}
			if inside := !v.LastUpdated.Before(since) && v.LastUpdated.Before(till); inside && !last[at].LastUpdated.After(v.LastUpdated) {
				last[at] = v
			}
		}
	}
	return slices.Collect(maps.Values(last)), nil
}
