package verify

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/sandbox/fhirservice"
)

// latency is what each call to a service of the benchmarks takes at least.
const latency = 20 * time.Millisecond

// distant puts both services behind a latency.
func (r *rig) distant() {
	for _, side := range []struct {
		service *fhirservice.Service
		client  **fhir.Service
	}{{r.source, &r.Source}, {r.destination, &r.Destination}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			<-time.After(latency)
			side.service.ServeHTTP(w, q)
		}))
		r.t.Cleanup(server.Close)
		s, err := fhir.New(fhir.Options{Base: server.URL, Clock: r.clock.Now})
		if err != nil {
			r.t.Fatal(err)
		}
		*side.client = s
	}
}

// records are n resources of about a kilobyte, of five types.
func records(n int) (all []fhirservice.Version) {
	step := watermark.Sub(day0) / time.Duration(n+1)
	for i := range n {
		typ := []string{"Observation", "Observation", "Encounter", "Claim", "Condition"}[i%5]
		all = append(all, version(typ, fmt.Sprintf("r-%d", i), 1, day0.Add(time.Duration(i)*step), rich+fmt.Sprintf(`,"multipleBirthInteger":%d`, i)))
	}
	return all
}

// BenchmarkDeepCheck compares everything of two live services against the way of the durable original, one GET a resource and one after the other, and against the
// ceiling: the same bundles downloaded and thrown away, as many at a time, each found through the next link of the one before. All in the same run, as the machine is.
func BenchmarkDeepCheck(b *testing.B) {
	const resources, asOriginal = 240_000, 60
	data := records(resources)
	// The sandbox keeps all resources in the memory of this process; let the collector not walk through them for the garbage of every few pages. (Much more, and each page
	// would be written to memory that the system has to hand out first.)
	defer debug.SetGCPercent(debug.SetGCPercent(200))
	for b.Loop() {
		r := newRig(b)
		load(b, r.source, data)
		load(b, r.destination, data)
		r.migrated()
		r.distant()

		// In turns, the best of three of each: whatever else the machine does hits both.
		var ours, ceiling float64
		for range 3 {
			before := time.Now()
			here, there := len(r.source.Calls()), len(r.destination.Calls())
			report := r.check(Request{Kind: Deep, All: true})
			ours = max(ours, resources/time.Since(before).Seconds())
			if report.Counts[Equal] != resources || len(report.Counts) != 1 {
				b.Fatal(report.Counts)
			}
			pages := append(reads(r.source, r.Source, here), reads(r.destination, r.Destination, there)...)
			before = time.Now()
			download(b, pages)
			ceiling = max(ceiling, resources/time.Since(before).Seconds())
		}
		before := time.Now()
		for _, v := range data[:asOriginal] {
			get(b, r.Source.Base()+"/"+v.Type+"/"+v.ID)
			get(b, r.Destination.Base()+"/"+v.Type+"/"+v.ID)
		}
		original := asOriginal / time.Since(before).Seconds()

		b.ReportMetric(ours, "resources/s")
		b.ReportMetric(original, "original/s")
		b.ReportMetric(ceiling, "ceiling/s")
		b.ReportMetric(ours/original, "x-original")
		b.ReportMetric(ours/ceiling, "of-ceiling")
		if ours < 100*original {
			b.Errorf("%.0f resources a second, the original's way %.0f: less than 100 times as many", ours, original)
		}
		if ours < ceiling*2/3 {
			// Both ends run on this machine's cores, and so does whatever else does: no failure, but said.
			b.Logf("%.0f resources a second, a download of the same bundles %.0f: NOT two thirds", ours, ceiling)
		}
	}
}

// reads are the URLs of all searches that a service was asked for since call number from: those of one stretch in a row, since each page but the first is found through the one before.
func reads(s *fhirservice.Service, behind *fhir.Service, from int) (chains [][]string) {
	at := map[string]int{}
	for _, c := range s.Calls()[from:] {
		if c.Kind != fhirservice.Search && c.Kind != fhirservice.Count {
			continue
		}
		q, _ := url.ParseQuery(c.RawQuery)
		stretch := fmt.Sprint(c.Path, q["_lastUpdated"], q["_summary"], q["_count"])
		if _, known := at[stretch]; !known {
			at[stretch] = len(chains)
			chains = append(chains, nil)
		}
		chains[at[stretch]] = append(chains[at[stretch]], behind.Base()+c.Path+"?"+c.RawQuery)
	}
	return chains
}

// download reads all URLs and throws the answers away, as many stretches at a time as a DeepCheck reads.
func download(b *testing.B, chains [][]string) {
	b.Helper()
	todo := make(chan []string, len(chains))
	for _, c := range chains {
		todo <- c
	}
	close(todo)
	var wait sync.WaitGroup
	for range 2 * sideBySide {
		wait.Go(func() {
			for chain := range todo {
				for _, u := range chain {
					get(b, u)
				}
			}
		})
	}
	wait.Wait()
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}}

func get(b *testing.B, url string) {
	b.Helper()
	reply, err := client.Get(url)
	if err != nil {
		b.Error(err)
		return
	}
	defer reply.Body.Close()
	if _, err := io.Copy(io.Discard, reply.Body); err != nil || reply.StatusCode != http.StatusOK {
		b.Errorf("%s: %d %v", url, reply.StatusCode, err)
	}
}

// BenchmarkSurfaceCheck counts 144 types on both sides, against one count after the other.
func BenchmarkSurfaceCheck(b *testing.B) {
	types := settings.OriginalTypes()
	for b.Loop() {
		r := newRig(b)
		load(b, r.source, clinic(10))
		load(b, r.destination, clinic(10))
		r.migrated()
		r.distant()
		before := time.Now()
		if report := r.check(Request{Kind: Surface, Types: types}); report.TypesChecked != 144 || report.Counts[Equal] != 3 {
			b.Fatal(report.TypesChecked, report.Counts)
		}
		ours := time.Since(before)

		before = time.Now()
		for _, typ := range types {
			for _, s := range []*fhir.Service{r.Source, r.Destination} {
				if _, err := s.CountType(b.Context(), typ, fhir.Current, fhir.Period{Till: watermark}); err != nil {
					b.Fatal(err)
				}
			}
		}
		one := time.Since(before)
		b.ReportMetric(ours.Seconds(), "s")
		b.ReportMetric(one.Seconds(), "s-one-by-one")
		b.ReportMetric(one.Seconds()/ours.Seconds(), "x-one-by-one")
		if one < 8*ours {
			b.Errorf("%s, one after the other %s: less than 8 times as fast", ours, one)
		}
	}
}

// BenchmarkCompare compares two resources that are the same but for the order of their members.
func BenchmarkCompare(b *testing.B) {
	source := `{"resourceType":"Observation","id":"1"` + rich + `}`
	destination := strings.Replace(source, `"resourceType":"Observation","id":"1"`, `"id":"1","resourceType":"Observation"`, 1)
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		if found, err := Compare(source, destination, Rules{}); err != nil || len(found) > 0 {
			b.Fatal(found, err)
		}
	}
}
