package fhir

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entryOf is an entry of a history; content is further members of its resource.
func entryOf(id, method, content string) string {
	return fmt.Sprintf(`{"fullUrl":"http://x/Patient/%s","resource":{"resourceType":"Patient","id":%q,"meta":{"versionId":"1","lastUpdated":"2024-01-01T00:00:00Z"}%s},"request":{"method":%q,"url":"Patient/%s"}}`,
		id, id, content, method, id)
}

func pageOf(entries []string) string {
	return `{"resourceType":"Bundle","entry":[` + strings.Join(entries, ", ") + `]}`
}

// What is read beside another service is what is read alone, whatever the other has instead.
func TestBesideReadsTheSameAsAlone(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	passed := 0
	for range 300 {
		var left, right []string
		for i := range 40 {
			e := entryOf(fmt.Sprint("p", i), "PUT", `,"active":true`)
			other := e
			switch random.IntN(12) {
			case 0:
				other = ""
			case 1:
				other = entryOf(fmt.Sprint("p", i), "PUT", `,"active":false`)
			case 2:
				other = entryOf(fmt.Sprint("p", i), "DELETE", `,"active":true`) // the same bytes, and deleted
			case 3:
				other = e + "," + entryOf(fmt.Sprint("extra", i), "PUT", "")
			case 4:
				e = entryOf(fmt.Sprint("p", i), "PUT", `,"active":true,"note":[{}]`) // the other is a beginning of it, but for a bracket
			}
			left = append(left, e)
			if other != "" {
				right = append(right, other)
			}
		}
		here, there := NewBeside()
		for at := 0; at < 40; at += 10 {
			for _, side := range []struct {
				beside *Beside
				text   string
			}{{here, pageOf(left[at : at+10])}, {there, pageOf(right[min(at, len(right)):min(at+10, len(right))])}} {
				got, err := side.beside.parsePage(side.text)
				want, wantErr := parsePage(side.text, nil)
				if err != nil || wantErr != nil {
					t.Fatal(err, wantErr)
				}
				if diff := cmp.Diff(want.resources, got.resources); diff != "" {
					t.Fatalf("alone (-), beside the other (+):\n%s", diff)
				}
			}
		}
		passed += there.passed
	}
	if passed < 300*20 { // or nothing would be tested
		t.Errorf("%d of %d resources were known from the other side", passed, 300*40)
	}
}

// A side that is far ahead keeps no more than two pages for the other.
func TestBesideKeepsLittle(t *testing.T) {
	t.Parallel()
	here, there := NewBeside()
	var entries []string
	for i := range bulkPage {
		entries = append(entries, entryOf(fmt.Sprint("p", i), "PUT", ""))
	}
	for range 5 {
		if _, err := here.parsePage(pageOf(entries)); err != nil {
			t.Fatal(err)
		}
	}
	if len(here.recent) != maxRecent {
		t.Errorf("%d kept, want %d", len(here.recent), maxRecent)
	}
	if _, err := there.parsePage(pageOf(entries)); err != nil || there.passed != 4*bulkPage {
		t.Errorf("came to %d (%v), want %d", there.passed, err, 4*bulkPage)
	}
}

// What is cut off within a resource that is known is cut off.
func TestBesideSeesWhatIsCutOff(t *testing.T) {
	t.Parallel()
	whole := pageOf([]string{entryOf("a", "PUT", ""), entryOf("b", "PUT", "")})
	for n := range len(whole) {
		here, there := NewBeside()
		if _, err := here.parsePage(whole); err != nil {
			t.Fatal(err)
		}
		if _, err := there.parsePage(whole[:n]); err == nil {
			t.Fatalf("%q was taken for whole", whole[:n])
		}
	}
}
