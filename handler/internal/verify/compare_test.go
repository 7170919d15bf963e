package verify

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const observation = `{"resourceType":"Observation","id":"o1","meta":{"versionId":"3","lastUpdated":"2024-05-01T10:00:00.123Z","security":[{"system":"urn:s","code":"R"}]},` +
	`"text":{"status":"generated","div":"<div>é</div>"},"identifier":[{"value":"a"},{"value":"b"}],"status":"final","code":{"text":"Caf\u00e9"},` +
	`"subject":{"reference":"Patient/1"},"effectiveDateTime":"2024-05-01T10:00:00+02:00","valueQuantity":{"value":1.10,"unit":""},` +
	`"extension":[{"url":"urn:1","valueDecimal":12345678901234567890},{"url":"urn:2","valueBoolean":true}],"x/y~z":1}`

func TestCompare(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		old, new string // replaced in the destination
		rules    Rules
		pointer  string // "": nothing differs
		kind     Change
		from, to string
	}{
		{name: "identical"},
		{name: "T7 trailing zero", old: "1.10", new: "1.1", pointer: "/valueQuantity/value", kind: Changed, from: "1.10", to: "1.1"},
		{name: "exponent", old: "1.10", new: "1.10e0", pointer: "/valueQuantity/value", kind: Changed, from: "1.10", to: "1.10e0"},
		{name: "T7 twenty digits cut to eighteen", old: "12345678901234567890", new: "12345678901234567900", pointer: "/extension/0/valueDecimal", kind: Changed, from: "12345678901234567890", to: "12345678901234567900"},
		{name: "T7 the same instant in another zone", old: "2024-05-01T10:00:00+02:00", new: "2024-05-01T08:00:00Z", pointer: "/effectiveDateTime", kind: Changed, from: `"2024-05-01T10:00:00+02:00"`, to: `"2024-05-01T08:00:00Z"`},
		{name: "T7 security label", old: `"code":"R"`, new: `"code":"N"`, pointer: "/meta/security/0/code", kind: Changed, from: `"R"`, to: `"N"`},
		{name: "lastUpdated in another zone", old: "2024-05-01T10:00:00.123Z", new: "2024-05-01T12:00:00.123+02:00"},
		{name: "lastUpdated with a finer fraction", old: "10:00:00.123Z", new: "10:00:00.1234567Z"},
		{name: "lastUpdated a millisecond later", old: "10:00:00.123Z", new: "10:00:00.124Z", pointer: "/meta/lastUpdated", kind: Changed, from: `"2024-05-01T10:00:00.123Z"`, to: `"2024-05-01T10:00:00.124Z"`},
		{name: "new versions", old: `"versionId":"3","lastUpdated":"2024-05-01T10:00:00.123Z"`, new: `"versionId":"1","lastUpdated":"2025-01-01T00:00:00Z"`, rules: Rules{NewVersions: true}},
		{name: "version", old: `"versionId":"3"`, new: `"versionId":"4"`, pointer: "/meta/versionId", kind: Changed, from: `"3"`, to: `"4"`},
		{name: "escaped letter", old: `Caf\u00e9`, new: `Café`},
		{name: "unicode form", old: `Caf\u00e9`, new: `Cafe\u0301`, pointer: "/code/text", kind: Changed, from: `"Caf\u00e9"`, to: `"Cafe\u0301"`},
		{name: "half a surrogate", old: `Caf\u00e9`, new: `Caf\ud800`, pointer: "/code/text", kind: Changed, from: `"Caf\u00e9"`, to: `"Caf\ud800"`},
		{name: "empty string dropped", old: `,"unit":""`, new: ``, pointer: "/valueQuantity/unit", kind: Removed, from: `""`},
		{name: "array swapped", old: `[{"value":"a"},{"value":"b"}]`, new: `[{"value":"b"},{"value":"a"}]`, pointer: "/identifier/0/value", kind: Changed, from: `"a"`, to: `"b"`},
		{name: "first extension dropped", old: `{"url":"urn:1","valueDecimal":12345678901234567890},`, new: ``, pointer: "/extension/0", kind: Removed, from: `{"url":"urn:1","valueDecimal":12345678901234567890}`},
		{name: "extension added in front", old: `"extension":[`, new: `"extension":[{"url":"n"},`, pointer: "/extension/0", kind: Added, to: `{"url":"n"}`},
		{name: "member added", old: `"status":"final"`, new: `"status":"final","issued":null`, pointer: "/issued", kind: Added, to: `null`},
		{name: "name to be escaped", old: `"x/y~z":1`, new: `"x/y~z":2`, pointer: "/x~1y~0z", kind: Changed, from: "1", to: "2"},
		{name: "number became text", old: `:1.10,`, new: `:"1.10",`, pointer: "/valueQuantity/value", kind: Changed, from: "1.10", to: `"1.10"`},
		{name: "doubled name", old: `"status":"final"`, new: `"status":"final","status":"amended"`, pointer: "/status", kind: Added, to: `"amended"`},
		{name: "ignored", old: `<div>é</div>`, new: `<div/>`, rules: Rules{Ignore: []string{"/text"}}},
		{name: "ignored in any element", old: `"value":"b"`, new: `"value":"c"`, rules: Rules{Ignore: []string{"/identifier/*/value"}}},
		{name: "ignored elsewhere", old: `"value":"b"`, new: `"value":"c"`, rules: Rules{Ignore: []string{"/identifier/0"}}, pointer: "/identifier/1/value", kind: Changed, from: `"b"`, to: `"c"`},
		{name: "ignored of another element, one added in front", old: `"identifier":[{"value":"a"},{"value":"b"}]`, new: `"identifier":[{"value":"n"},{"value":"a"},{"value":"c"}]`,
			rules: Rules{Ignore: []string{"/identifier/0"}}, pointer: "/identifier/1/value", kind: Changed, from: `"b"`, to: `"a"`},
		{name: "ignored of another element, one dropped behind a change", old: `"extension":[{"url":"urn:1","valueDecimal":12345678901234567890},{"url":"urn:2","valueBoolean":true}]`,
			new: `"extension":[{"url":"urn:2","valueBoolean":false}]`, rules: Rules{Ignore: []string{"/extension/1/valueBoolean", "/extension/0/url"}},
			pointer: "/extension/0/valueBoolean", kind: Added, to: `false`},
		{name: "order of members", old: `"status":"final","code":{"text":"Caf\u00e9"}`, new: `"code": {"text":"Caf\u00e9"} , "status" : "final"`},
		{name: "mark of a deletion", old: `"security":[`, new: `"extension":[{"url":"` + deletedStateURL + `","valueString":"soft-deleted"}],"security":[`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			destination := replaceOnce(t, observation, test.old, test.new)
			got, err := Compare(observation, destination, test.rules)
			if err != nil {
				t.Fatal(err)
			}
			if test.pointer == "" {
				if len(got) > 0 {
					t.Fatalf("%v, want nothing", got)
				}
				return
			}
			want := Difference{test.pointer, test.kind, test.from, test.to}
			if len(got) == 0 || got[0] != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

func TestCompareRanksWhatMattersFirst(t *testing.T) {
	t.Parallel()
	source := `{"text":1,"meta":{"tag":1},"note":1,"identifier":1,"code":1,"valueQuantity":1,"dosageInstruction":1,"subject":1,"status":1}`
	destination := `{"text":2,"meta":{"tag":2},"note":2,"identifier":2,"code":2,"valueQuantity":2,"dosageInstruction":2,"subject":2,"status":2}`
	got, err := Compare(source, destination, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, d := range got {
		order = append(order, d.Pointer)
	}
	want := []string{"/status", "/subject", "/dosageInstruction", "/valueQuantity", "/code", "/identifier", "/note", "/meta/tag", "/text"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestCompareRefusesWhatIsNoResource(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "null", "[]", `{"a":1`, `{"a":01}`, "<html>"} {
		if _, err := Compare(`{"a":1}`, bad, Rules{}); !errors.Is(err, ErrNotJSON) {
			t.Errorf("%q: %v, want ErrNotJSON", bad, err)
		}
	}
}

// Deep nesting is compared in time and space that are bounded; names that are no Unicode are told apart by how they are written.
func TestCompareOfWhatNoServiceWrites(t *testing.T) {
	t.Parallel()
	nested := func(depth int, end string) string {
		return `{"a":` + strings.Repeat(`[0,`, depth) + end + strings.Repeat(`]`, depth) + `}`
	}
	if got, err := Compare(nested(500, "1"), nested(500, "2,3"), Rules{}); err != nil || len(got) != 1 && len(got) != 2 {
		t.Errorf("500 deep: %v %v", got, err)
	}
	grown := strings.Repeat(`[`, 200) + "1" + strings.Repeat(`,0]`, 200)
	if got, err := Compare(`{"a":`+grown+`}`, `{"a":`+strings.Repeat(`[`, 200)+"2"+strings.Repeat(`,0,0]`, 200)+`}`, Rules{}); err != nil || len(got) == 0 {
		t.Errorf("an element more at every level: %v %v", got, err)
	}
	if _, err := Compare(nested(1_000_000, "1"), nested(1_000_000, "2"), Rules{}); !errors.Is(err, ErrNotJSON) {
		t.Errorf("a million deep: %v, want ErrNotJSON", err)
	}
	for _, pair := range [][2]string{{`{"\ud800":1}`, `{"\ud801":1}`}, {`{"a":1,"a":2}`, `{"a":2,"a":1}`}, {`{"a":1,"a":1}`, `{"a":1}`}, {`{"a":1e400}`, `{"a":2e400}`},
		{`{"a":1e2}`, `{"a":100}`}, {`{"a":0}`, `{"a":-0}`}, {`{"a":9007199254740993}`, `{"a":9007199254740992}`}, {`{"a":"\u0000"}`, `{"a":""}`}} {
		if got, err := Compare(pair[0], pair[1], Rules{}); err != nil || len(got) == 0 {
			t.Errorf("%s and %s: %v %v", pair[0], pair[1], got, err)
		}
	}
}

func TestCompareStopsAtFiftyDifferences(t *testing.T) {
	t.Parallel()
	source, destination := `{"a":0`, `{"a":0`
	for i := range 80 {
		source += fmt.Sprintf(`,"m%d":1`, i)
		destination += fmt.Sprintf(`,"m%d":2`, i)
	}
	got, err := Compare(source+"}", destination+"}", Rules{})
	if err != nil || len(got) != 50 {
		t.Errorf("%d differences (%v), want 50", len(got), err)
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(observation, `{"meta":{"extension":[{}]}}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		forth, err := Compare(a, b, Rules{})
		back, err2 := Compare(b, a, Rules{})
		if (err == nil) != (err2 == nil) || (len(forth) == 0) != (len(back) == 0) {
			t.Errorf("%q and %q: %v %v, the other way %v %v", a, b, forth, err, back, err2)
		}
	})
}

func replaceOnce(t *testing.T, text, old, new string) string {
	t.Helper()
	if old == "" {
		return text
	}
	before, after, ok := strings.Cut(text, old)
	if !ok {
		t.Fatalf("no %q to replace", old)
	}
	return before + new + after
}
