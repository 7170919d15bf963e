package migration

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// doneFor migrates one type to the end, as done does all of them.
func (o *original) doneFor(typ string, number int, from, till float64) {
	o.t.Helper()
	o.finished(o.ended(o.startedFor(typ, number, from, till)))
}

// typeChunk writes the chunk row of an original that goes type by type: where it stands in its list, in the global window of days 0 to 20.
func (o *original) typeChunk(jobID, index int, more map[string]any) {
	o.t.Helper()
	row := map[string]any{"noOfResources": 3, "resourceTypeIndex": index, "multiExport": "", "subSinceExportType": "", "subTillExportType": "",
		"globalSinceExportType": ledger.FormatInstant(day(0)), "globalTillExportType": ledger.FormatInstant(day(20))}
	for name, v := range more {
		row[name] = v
	}
	if row["globalTillExportType"] == "" { // the last global window has ended: that moves since, too
		row["since"] = row["globalSinceExportType"]
	}
	o.chunkRow(jobID, time.Time{}, row)
}

// A migration by type is taken over in the middle of its list of types, with the type at hand in any phase: what is complete of the global
// window is not exported again, what is not is, and everything arrives.
func TestTakeOverByType(t *testing.T) {
	t.Parallel()
	sub := func(since, till float64) map[string]any {
		return map[string]any{"multiExport": "Running", "subSinceExportType": ledger.FormatInstant(day(since)), "subTillExportType": ledger.FormatInstant(day(till))}
	}
	for name, test := range map[string]struct {
		leave func(o *original)
		want  []string // exported after the takeover in the global window
	}{
		"between two types": {func(o *original) {
			o.doneFor("Account", 0, 0, 20)
			o.typeChunk(1, 1, nil)
		}, []string{"Observation 2024-01-01/2024-01-21", "Patient 2024-01-01/2024-01-21"}},
		"in the middle of a type": {func(o *original) {
			o.doneFor("Account", 0, 0, 20)
			o.startedFor("Patient", 1, 0, 20)
			o.typeChunk(2, 1, nil)
		}, []string{"Observation 2024-01-01/2024-01-21"}},
		"a type exported and not imported": {func(o *original) {
			o.doneFor("Account", 0, 0, 20)
			o.ended(o.startedFor("Patient", 1, 0, 20))
			o.typeChunk(2, 1, nil)
		}, []string{"Observation 2024-01-01/2024-01-21"}},
		"a type failed": {func(o *original) {
			o.doneFor("Account", 0, 0, 20)
			j := o.startedFor("Patient", 1, 0, 20)
			j.row["IsExportComplete"], j.row["IsExportRunning"], j.row["IsImportRunning"] = true, "Failed", "Failed"
			o.save(j)
			o.typeChunk(2, 1, nil)
		}, []string{"Observation 2024-01-01/2024-01-21", "Patient 2024-01-01/2024-01-21"}},
		"a type closed, the index not saved": {func(o *original) {
			o.doneFor("Account", 0, 0, 20)
			o.doneFor("Patient", 1, 0, 20)
			o.typeChunk(2, 1, nil)
		}, []string{"Observation 2024-01-01/2024-01-21"}},
		"between two sub-windows": {func(o *original) {
			o.doneFor("Account", 0, 0, 20)
			o.doneFor("Patient", 1, 0, 10)
			o.typeChunk(2, 1, sub(10, 20))
		}, []string{"Observation 2024-01-01/2024-01-21", "Patient 2024-01-11/2024-01-21"}},
		"in the middle of a sub-window": {func(o *original) {
			o.doneFor("Account", 0, 0, 20)
			o.doneFor("Patient", 1, 0, 10)
			o.startedFor("Patient", 2, 10, 20)
			o.typeChunk(3, 1, sub(10, 20))
		}, []string{"Observation 2024-01-01/2024-01-21"}},
		"in the first sub-window": {func(o *original) {
			o.doneFor("Account", 0, 0, 20)
			o.startedFor("Patient", 1, 0, 10)
			o.typeChunk(2, 1, sub(0, 10))
		}, []string{"Observation 2024-01-01/2024-01-21", "Patient 2024-01-11/2024-01-21"}},
		"between two global windows": {func(o *original) {
			for i, typ := range []string{"Account", "Patient", "Observation"} {
				o.doneFor(typ, i, 0, 20)
			}
			o.typeChunk(3, 0, map[string]any{"globalSinceExportType": ledger.FormatInstant(day(20)), "globalTillExportType": ""})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{settings: []string{"IsParallel=false", "ResourceExportChunkTime=20", "ResourceTypes=Account,Patient,Observation"}})
			for i := range 39 {
				at := day(1 + float64(i)).Add(time.Hour)
				o.seed(resource("Account", fmt.Sprintf("account-%d", i), 1, at))
				if i%3 == 0 {
					o.seed(resource("Observation", fmt.Sprintf("observation-%d", i), 1, at))
				}
			}
			test.leave(o)
			exports := len(o.exportCalls())
			o.run(originalEnd)
			o.wantEqual()
			var got []string
			for _, c := range o.exportCalls()[exports:] {
				q, _ := url.ParseQuery(c.RawQuery)
				if since := q.Get("_since")[:10]; since < "2024-01-21" {
					got = append(got, q.Get("_type")+" "+since+"/"+q.Get("_till")[:10])
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("exported of the global window after the takeover: %v, want %v", got, test.want)
			}
		})
	}
}

// A type without anything is passed over with those behind it that were exported before, and not with one that nobody has looked at.
func TestTypeBehindOneThatWasExportedIsNotPassedOver(t *testing.T) {
	t.Parallel()
	t.Run("taken over", func(t *testing.T) {
		t.Parallel()
		o := newOriginal(t, rigOptions{settings: []string{"IsParallel=false", "ResourceExportChunkTime=20", "ResourceTypes=Account,Patient,Observation"}})
		o.seed(resource("Observation", "a", 1, day(5)))
		o.doneFor("Patient", 0, 0, 20)
		o.typeChunk(1, 0, nil)
		o.run(originalEnd)
		o.wantEqual()
	})
	t.Run("given back and taken over", func(t *testing.T) {
		t.Parallel()
		o := newOriginal(t, rigOptions{settings: []string{"IsParallel=false", "ResourceExportChunkTime=20", "ResourceTypes=Device,Account,Patient,Observation", "MaxOpenWindows=2", "MaxParallelExports=1"}})
		for i := range 39 {
			o.seed(resource("Account", fmt.Sprintf("account-%d", i), 1, day(1+float64(i))), resource("Observation", fmt.Sprintf("observation-%d", i), 1, day(1+float64(i))))
		}
		o.tick()
		if _, err := o.Drain(t.Context(), operator); err != nil {
			t.Fatal(err)
		}
		o.drained()
		if err := o.Resume(t.Context(), operator); err != nil {
			t.Fatal(err)
		}
		o.run(originalEnd)
		o.wantEqual()
	})
}

// A list of types that cannot be the original's is refused: what the original did not have would count as migrated. With its own list the migration
// is taken over, and a type that is added then is migrated from its beginning.
func TestTakeOverWithOtherTypes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		types string
		more  map[string]any
		want  string
	}{
		"one more":            {"Account,Patient,Observation", nil, "the original had 2 types (noOfResources in the chunk row), and there are 3"},
		"as many, another":    {"Account,Observation", nil, "the original exported Patient, which is not among them"},
		"nobody knows":        {"Account,Patient", map[string]any{"noOfResources": 0}, "does not say how many types"},
		"between two windows": {"Account,Patient,Observation", map[string]any{"globalSinceExportType": ledger.FormatInstant(day(20)), "globalTillExportType": ""}, "the original had 2 types"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{settings: []string{"IsParallel=false", "ResourceExportChunkTime=10", "MaxOpenWindows=1", "ResourceTypes=" + test.types}})
			for i := range 39 {
				o.seed(resource("Account", fmt.Sprint(i), 1, day(1+float64(i))), resource("Observation", fmt.Sprint(i), 1, day(1+float64(i))))
			}
			o.doneFor("Account", 0, 0, 20)
			o.doneFor("Patient", 1, 0, 20)
			row := map[string]any{"noOfResources": 2}
			maps.Copy(row, test.more)
			o.typeChunk(2, 1, row)
			e, err := o.ExportStep(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || e.Waiting != err.Error() {
				t.Fatalf("taken over: %v (waiting: %q), want %q", err, e.Waiting, test.want)
			}
			if c := o.chunk(); !c.Foreign {
				t.Fatalf("taken over: %+v", c)
			}
			row["noOfResources"] = 2
			o.typeChunk(2, 1, row)
			o.Migration = o.handler("ResourceTypes=Account,Patient")
			o.tick() // the last global window is not begun yet
			o.Migration = o.handler("ResourceTypes=Account,Patient,Observation")
			if _, err := o.AcceptSettings(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			o.run(originalEnd)
			o.wantEqual()
		})
	}
}

// What is set as ResourceTypes the original adds to the 144 types that it has of itself. It is taken over with those, and with no shorter list.
func TestTakeOverOfTypesThatWereAdded(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{settings: []string{"IsParallel=false", "ResourceExportChunkTime=20", "ResourceTypes=Account"}})
	o.seed(resource("Account", "a", 1, day(5)), resource("Observation", "a", 1, day(5)), resource("VisionPrescription", "a", 1, day(5)), resource("VisionPrescription", "b", 1, day(35)))
	o.doneFor("Account", 0, 0, 20)
	o.put(o.exports, "myrowkey1", map[string]any{"exportContentLocation": o.source.URL() + "/_operations/export/1", "IsExportComplete": true, "IsExportRunning": "Completed",
		"IsImportComplete": true, "IsImportRunning": "Completed", "ImportRequest": "No", "IsProcessed": true, "IsFirst": true, "resourceTypeValue": "SearchParameter",
		"Since": ledger.FormatInstant(day(0)), "Till": ledger.FormatInstant(day(20))})
	o.typeChunk(2, 1, map[string]any{"noOfResources": 146})
	if _, err := o.ExportStep(t.Context()); err == nil || !strings.Contains(err.Error(), "the original had 146 types") {
		t.Fatalf("taken over: %v", err)
	}
	o.Migration = o.handler("ResourceTypes=")
	exports := len(o.exportCalls())
	o.run(originalEnd)
	o.wantEqual()
	for _, c := range o.exportCalls()[exports:] {
		if q, _ := url.ParseQuery(c.RawQuery); q.Get("_type") == "Account" && q.Get("_since") < "2024-01-21" {
			t.Errorf("exported again: %s", c.RawQuery)
		}
	}
}

// The original's list in another order: its place in it says nothing of ours, its rows do.
func TestTakeOverWithTypesInAnotherOrder(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{settings: []string{"IsParallel=false", "ResourceExportChunkTime=20", "ResourceTypes=Observation,Account,Patient"}})
	o.seed(resource("Observation", "a", 1, day(5)), resource("Account", "a", 1, day(5)))
	o.doneFor("Account", 0, 0, 20)
	o.typeChunk(1, 1, nil)
	exports := len(o.exportCalls())
	o.run(originalEnd)
	o.wantEqual()
	for _, c := range o.exportCalls()[exports:] {
		if strings.Contains(c.RawQuery, "_type=Account") {
			t.Errorf("exported again: %s", c.RawQuery)
		}
	}
}

// A type that was added, and not planned from its beginning yet when the tables are given back, is planned from there when they are taken over again.
func TestDrainRemembersTypesThatJoin(t *testing.T) {
	t.Parallel()
	for _, begun := range []bool{false, true} {
		t.Run(fmt.Sprintf("its global window begun: %v", begun), func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{settings: []string{"IsParallel=false", "ResourceExportChunkTime=10", "ResourceTypes=Account,Patient", "MaxOpenWindows=1", "MaxParallelExports=1"}})
			for i := range 39 {
				o.seed(resource("Account", fmt.Sprint(i), 1, day(1+float64(i))), resource("Observation", fmt.Sprint(i), 1, day(1+float64(i))))
			}
			for range 40 {
				if o.tick(); o.chunk().PlannedTill.Equal(day(10)) {
					break
				}
			}
			o.Migration = o.handler("ResourceTypes=Account,Patient,Observation")
			if _, err := o.AcceptSettings(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			for range 40 {
				if !begun || o.chunk().Types.Index == 1 && len(o.chunk().Types.Types) == 3 {
					break
				}
				o.tick()
			}
			if _, err := o.Drain(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			o.drained()
			if err := o.Resume(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			o.run(originalEnd)
			o.wantEqual()
		})
	}
}

// A drain in type mode leaves the original a place in its list of types from which it plans everything that is not imported.
func TestDrainByType(t *testing.T) {
	t.Parallel()
	for ticks := range 4 {
		t.Run(fmt.Sprintf("after %d ticks", ticks+1), func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{settings: []string{"IsParallel=false", "ResourceExportChunkTime=20", "ResourceTypes=Account,Patient,Observation", "MaxOpenWindows=2", "MaxParallelExports=1"}})
			for i := range 39 {
				o.seed(resource("Account", fmt.Sprintf("account-%d", i), 1, day(1+float64(i))), resource("Observation", fmt.Sprintf("observation-%d", i), 1, day(1+float64(i))))
			}
			for range ticks + 1 {
				o.tick()
			}
			if _, err := o.Drain(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			o.drained()
			if rows := o.inFlight(); len(rows) > 0 {
				t.Errorf("in flight, as the original sees it: %v", rows)
			}
			row := o.chunkColumns()
			since, err := ledger.ParseInstant(row["globalSinceExportType"].(string))
			if err != nil {
				t.Fatal(err)
			}
			index := int(row["resourceTypeIndex"].(float64))
			for _, v := range o.source.Versions() {
				place := slices.Index([]string{"Account", "Patient", "Observation"}, v.Type)
				if planned := !v.LastUpdated.Before(since) && (place >= index || row["globalTillExportType"] == "" || v.LastUpdated.Format(time.RFC3339) >= row["globalTillExportType"].(string)); !planned && !o.arrived(v.Type, v.ID) {
					t.Errorf("%s/%s of %s is neither imported nor planned by the original, which stands at %s, type %d", v.Type, v.ID, v.LastUpdated, since, index)
				}
			}
			if err := o.Resume(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			o.run(originalEnd)
			o.wantEqual()
		})
	}
}

// arrived says whether a resource is at the destination.
func (o *original) arrived(typ, id string) bool {
	for _, v := range o.destination.Versions() {
		if v.Type == typ && v.ID == id {
			return true
		}
	}
	return false
}

// An original that went type by type is not taken over as a whole: what its list leaves out would count as migrated. Taken over by type, it goes over
// to the whole system when that is accepted, and nothing is left out: also where planning by type has not begun anything here.
func TestTakeOverByTypeAsAWhole(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		more map[string]any
		tick bool // before the other mode is set
	}{
		"in the middle of a global window":                  {nil, true},
		"between two global windows":                        {map[string]any{"resourceTypeIndex": 0, "globalSinceExportType": ledger.FormatInstant(day(20)), "globalTillExportType": ""}, true},
		"between two global windows, nothing planned since": {map[string]any{"resourceTypeIndex": 0, "globalSinceExportType": ledger.FormatInstant(day(20)), "globalTillExportType": ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{settings: []string{"ResourceExportChunkTime=20"}})
			for i := range 39 {
				o.seed(resource("Account", fmt.Sprint(i), 1, day(1+float64(i))), resource("Observation", fmt.Sprint(i), 1, day(1+float64(i))))
			}
			o.doneFor("Account", 0, 0, 20)
			row := map[string]any{"noOfResources": 2}
			if maps.Copy(row, test.more); test.more != nil {
				o.doneFor("Patient", 1, 0, 20)
			}
			o.typeChunk(2, 1, row)
			e, err := o.ExportStep(t.Context())
			if err == nil || !strings.Contains(err.Error(), "the original went type by type") || e.Waiting != err.Error() {
				t.Fatalf("taken over as a whole: %v (waiting: %q)", err, e.Waiting)
			}
			if c := o.chunk(); !c.Foreign {
				t.Fatalf("taken over: %+v", c)
			}
			o.Migration = o.handler("IsParallel=false", "ResourceTypes=Account,Patient")
			if test.tick {
				o.tick()
			} else { // the takeover, and no more: the source says nothing
				o.source.Inject(fhirservice.Fault{Status: http.StatusServiceUnavailable})
				if _, err := o.ExportStep(t.Context()); err != nil {
					t.Fatal(err)
				}
				o.source.ClearFaults()
				o.clock.Advance(time.Hour)
				if c := o.chunk(); c.Foreign || c.Types.UnderWay() {
					t.Fatalf("chunk row: %+v", c)
				}
			}
			o.Migration = o.handler()
			if _, err := o.ExportStep(t.Context()); err == nil || !strings.Contains(err.Error(), "IsParallel was") {
				t.Fatalf("another mode: %v", err)
			}
			changed, err := o.AcceptSettings(t.Context(), operator)
			if err != nil || !strings.Contains(changed, "all are migrated from the beginning on") {
				t.Fatalf("accepted: %q %v", changed, err)
			}
			o.run(originalEnd)
			o.wantEqual()
		})
	}
}

// An original that exported everything at once has the columns of one that went type by type, and may have gone over from the one to the other. It is taken
// over as a whole where everything up to its watermark was exported at once, and only there.
func TestTakeOverAsAWhole(t *testing.T) {
	t.Parallel()
	whole := func(o *original, number int, from, till float64) { o.finished(o.ended(o.started(number, from, till))) }
	for name, test := range map[string]struct {
		leave func(o *original)
		whole bool
	}{
		"at once": {func(o *original) {
			whole(o, 0, 0, 10)
			o.chunkRow(1, day(10), nil)
		}, true},
		"by type, then at once from the beginning": {func(o *original) { // as older ones do
			o.doneFor("Account", 0, 0, 20)
			whole(o, 1, 0, 10)
			o.chunkRow(2, day(10), map[string]any{"resourceTypeIndex": 1, "globalSinceExportType": ledger.FormatInstant(day(0)), "globalTillExportType": ledger.FormatInstant(day(20))})
		}, true},
		"at once, then by type, whose first global window is under way": {func(o *original) {
			whole(o, 0, 0, 10)
			o.doneFor("Account", 1, 10, 20)
			o.chunkRow(2, day(10), map[string]any{"resourceTypeIndex": 1, "globalTillExportType": ledger.FormatInstant(day(20))})
		}, true},
		"by type, then at once from there on": {func(o *original) {
			o.doneFor("Account", 0, 0, 10)
			whole(o, 1, 10, 20)
			o.chunkRow(2, day(20), nil)
		}, false},
		"at once, then by type": {func(o *original) {
			whole(o, 0, 0, 10)
			o.doneFor("Account", 1, 10, 20)
			o.chunkRow(2, day(20), nil)
		}, false},
		"by type, of which there was nothing": {func(o *original) { o.chunkRow(0, day(20), nil) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{})
			o.seed(resource("Account", "a", 1, day(5)), resource("Account", "b", 1, day(15)), resource("Observation", "a", 1, day(5)), resource("Observation", "b", 1, day(15)))
			test.leave(o)
			if !test.whole {
				if _, err := o.ExportStep(t.Context()); err == nil || !strings.Contains(err.Error(), "the original went type by type") {
					t.Fatalf("taken over: %v", err)
				}
				return
			}
			exports := len(o.exportCalls())
			o.run(originalEnd)
			o.wantEqual()
			if got := o.exportedAfter(exports); slices.Contains(got, "2024-01-01/2024-01-11") {
				t.Errorf("exported again: %v", got)
			}
		})
	}
}
