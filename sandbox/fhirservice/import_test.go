package fhirservice

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// run imports the lines of one blob and returns the result and, for each refused line, the reason.
func (b *bench) run(content string, more ...string) (importResult, []string) {
	b.t.Helper()
	_, put := b.container()
	at := put(fmt.Sprintf("run-%d.ndjson", len(b.Calls())), content)
	body := strings.TrimSuffix(importBody(at), "]}")
	for _, m := range more {
		body += "," + m
	}
	kick := b.want(b.postImport(body+"]}"), 202, "")
	result := parse[importResult](b.want(b.get(kick.header.Get("Content-Location")), 200, ""))
	var reasons []string
	for _, e := range result.Error {
		entries := strings.Split(strings.TrimSuffix(b.blob(e.URL), "\n"), "\n")
		if len(entries) != e.Count {
			b.t.Errorf("section 5: %s has %d entries, its count is %d", e.URL, len(entries), e.Count)
		}
		for _, line := range entries {
			var o operationOutcome
			if err := json.Unmarshal([]byte(line), &o); err != nil || o.first().Severity != "error" || o.first().Code != "" || o.first().Details == nil {
				b.t.Fatalf("section 5: %v: %s", err, line)
			}
			reasons = append(reasons, o.first().Details.Text)
		}
	}
	return result, reasons
}

// line is one line of NDJSON for Patient/p; version "" and minutes below -9000 leave meta members out.
func line(id, version string, minutes float64, content string) string {
	var meta []string
	if version != "" {
		meta = append(meta, `"versionId":"`+version+`"`)
	}
	if minutes > -9000 {
		meta = append(meta, `"lastUpdated":"`+formatInstant(noon.Add(time.Duration(minutes*float64(time.Minute))))+`"`)
	}
	return `{"resourceType":"Patient","id":"` + id + `","meta":{` + strings.Join(meta, ",") + `}` + content + "}\n"
}

const (
	noTime    = -10_000
	duplicate = "Failed to import duplicate resource"
	conflict  = "Failed to import resource with version conflict"
)

// TestImportConflicts is the table of section 6.2.
func TestImportConflicts(t *testing.T) {
	t.Parallel()
	negative := `{"name":"allowNegativeVersions","valueBoolean":true}`
	tests := []struct {
		name    string
		stored  []string // imported first, each line by itself
		lines   []string // then imported together
		more    string
		want    []string // versions of the resource, as version@minutes, "-" in front of deleted ones
		count   int
		refused string // beginning of the reasons
	}{
		{"identical: no-op, counted", []string{line("p", "1", -60, "")}, []string{line("p", "1", -60, "")}, "", []string{"1@-60"}, 1, ""},
		{"same version and time, other content", []string{line("p", "1", -60, "")}, []string{line("p", "1", -60, `,"active":true`)}, "", []string{"1@-60"}, 0, conflict},
		{"same version and time, alive and deleted", []string{line("p", "1", -60, "")},
			[]string{strings.Replace(line("p", "1", -60, ""), `"meta":{`, `"meta":{"extension":[`+deletedExtension+`],`, 1)}, "", []string{"1@-60"}, 0, conflict},
		{"same time, other version", []string{line("p", "1", -60, "")}, []string{line("p", "2", -60, "")}, "", []string{"1@-60"}, 0, conflict},
		{"same version, other time", []string{line("p", "1", -60, "")}, []string{line("p", "1", -50, "")}, "", []string{"1@-60"}, 0, conflict},
		{"higher version, earlier time", []string{line("p", "2", -60, "")}, []string{line("p", "3", -70, "")}, "", []string{"2@-60"}, 0, conflict},
		{"lower version, later time", []string{line("p", "2", -60, "")}, []string{line("p", "1", -50, "")}, "", []string{"2@-60"}, 0, conflict},
		{"older version: history", []string{line("p", "5", -60, "")}, []string{line("p", "2", -70, "")}, "", []string{"2@-70", "5@-60"}, 1, ""},
		{"newer version with a gap: current", []string{line("p", "2", -60, "")}, []string{line("p", "7", -50, "")}, "", []string{"2@-60", "7@-50"}, 1, ""},
		{"versions in any order", nil, []string{line("p", "2", -60, ""), line("p", "1", -70, ""), line("p", "3", -50, "")}, "", []string{"1@-70", "2@-60", "3@-50"}, 3, ""},
		{"out of order among themselves", nil, []string{line("p", "1", -50, ""), line("p", "2", -60, "")}, "", []string{"1@-50"}, 1, conflict},
		{"two of one instant: the version that is greater as a text", nil, []string{line("p", "10", -60, ""), line("p", "9", -60, "")}, "", []string{"9@-60"}, 1, duplicate},
		{"two of one version: the later", nil, []string{line("p", "1", -60, ""), line("p", "1", -50, "")}, "", []string{"1@-50"}, 1, duplicate},
		{"the same line twice", nil, []string{line("p", "1", -60, ""), line("p", "1", -60, "")}, "", []string{"1@-60"}, 1, duplicate},
		{"no version, into a gap", []string{line("p", "1", -60, ""), line("p", "3", -40, "")}, []string{line("p", "", -50, "")}, "", []string{"1@-60", "2@-50", "3@-40"}, 1, ""},
		{"no version, no gap", []string{line("p", "1", -60, ""), line("p", "2", -40, "")}, []string{line("p", "", -50, "")}, "", []string{"1@-60", "2@-40"}, 0, conflict},
		{"no version, before the first", []string{line("p", "1", -60, "")}, []string{line("p", "", -70, "")}, "", []string{"1@-60"}, 0, conflict},
		{"no version, before the first, negative ones allowed", []string{line("p", "1", -60, "")}, []string{line("p", "", -70, "")}, negative, []string{"-1@-70", "1@-60"}, 1, ""},
		{"no version, later", []string{line("p", "4", -60, "")}, []string{line("p", "", -50, `,"active":true`)}, "", []string{"4@-60", "5@-50"}, 1, ""},
		{"no version, content of the current", []string{line("p", "4", -60, "")}, []string{line("p", "", -50, "")}, "", []string{"4@-60"}, 1, ""},
		{"version that is a GUID", nil, []string{line("p", "2f1b1c6e", -60, "")}, "", []string{"1@-60"}, 1, ""},
		{"neither: server time, version ignored", nil, []string{line("p", "9", noTime, "")}, "", []string{"1@0"}, 1, ""},
		{"negative version", nil, []string{line("p", "-3", -60, "")}, "", nil, 0, conflict},
		{"negative version allowed", []string{line("p", "1", -50, "")}, []string{line("p", "-3", -60, "")}, negative, []string{"-3@-60", "1@-50"}, 1, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setupStorage(t, Options{})
			for _, l := range test.stored {
				if _, reasons := b.run(l); reasons != nil {
					t.Fatal(reasons)
				}
			}
			var more []string
			if test.more != "" {
				more = []string{test.more}
			}
			result, reasons := b.run(strings.Join(test.lines, ""), more...)
			var got []string
			for _, v := range b.Versions() {
				got = append(got, fmt.Sprintf("%s@%v", v.VersionID, v.LastUpdated.Sub(noon).Minutes()))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("section 6.2: -want +got:\n%s", diff)
			}
			if result.Output[0].Count != test.count {
				t.Errorf("section 4.2: count %d, want %d", result.Output[0].Count, test.count)
			}
			if want := len(test.lines) - test.count; len(reasons) != want || want > 0 && !strings.HasPrefix(reasons[0], test.refused) {
				t.Errorf("section 6.2: reasons %q, want %d of %q", reasons, want, test.refused)
			}
		})
	}
}

// A version that was edited at the destination blocks later versions of the source.
func TestImportAfterAnEdit(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	b.run(line("p", "3", -60, ""))
	b.want(b.call(http.MethodPut, "/Patient/p", `{"resourceType":"Patient","id":"p"}`, jsonBody), 200, "") // version 4, of noon
	if _, reasons := b.run(line("p", "4", -30, "") + line("p", "5", -20, "")); len(reasons) != 2 || !strings.HasPrefix(reasons[0], conflict) {
		t.Errorf("section 6.2: %q", reasons)
	}
}

// TestImportLineErrors is section 6.1: what refuses a line and what does not.
func TestImportLineErrors(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	good := []string{
		line("ok", "1", -60, `,"x":12345678901234567.8901234567890,"y":1.10`),
		line("ahead", "1", 10.0/60, ""), // ten seconds in the future
		`{"resourceType":"Observation","id":"no-meta"}` + "\r\n",
		"\n",
		strings.Replace(line("gone", "2", -60, ""), `"meta":{`, `"meta":{"tag":[],"extension":[`+deletedExtension+`],`, 1),
		`{"resourceType":"Patient","id":"fine","meta":{"versionId":"1","lastUpdated":"2024-05-01T12:00:00.1239999+02:00"}}` + "\n",
		`{"resourceType":"Encounter","id":"conditional","subject":{"reference":"Patient?identifier=1"}}` + "\n",
	}
	bad := []string{
		"{\n", "[]\n", `{"id":"x"}` + "\n", `{"resourceType":"Nonsense","id":"x"}` + "\n", `{"resourceType":"Patient"}` + "\n",
		`{"resourceType":"Patient","id":"a_b"}` + "\n", `{"resourceType":"Patient","id":"` + strings.Repeat("a", 65) + `"}` + "\n",
		`{"resourceType":"SearchParameter","id":"sp"}` + "\n", line("future", "1", 11.0/60, ""), `{"resourceType":"Patient","id":"x","meta":{"lastUpdated":"yesterday"}}`,
	}
	result, reasons := b.run(strings.Join(good, "") + strings.Join(bad, ""))
	if result.Output[0].Count != len(good)-1 || len(reasons) != len(bad) {
		t.Errorf("section 6.1: %d accepted, want %d; refused: %q", result.Output[0].Count, len(good)-1, reasons)
	}
	if diff := cmp.Diff([]string{"Encounter/conditional/1", "Observation/no-meta/1", "Patient/ahead/1", "Patient/fine/1", "-Patient/gone/2", "Patient/ok/1"}, keys(b.Versions())); diff != "" {
		t.Errorf("section 6.1: -want +got:\n%s", diff)
	}
	for _, v := range b.Versions() {
		switch want := ""; v.ID {
		case "gone":
			want = `{"resourceType":"Patient","id":"gone","meta":{"tag":[],"versionId":"2","lastUpdated":"2024-05-01T11:00:00+00:00"}}`
			if string(v.Raw) != want {
				t.Errorf("section 6.1: got %s, want %s", v.Raw, want)
			}
		case "fine":
			if !strings.Contains(string(v.Raw), `"lastUpdated":"2024-05-01T12:00:00.123+02:00"`) {
				t.Errorf("section 6.1: lastUpdated is not cut with its offset kept: %s", v.Raw)
			}
		case "ok":
			if !strings.Contains(string(v.Raw), `"x":12345678901234567.8901234567890,"y":1.10}`) {
				t.Errorf("section 6.1: digits are lost: %s", v.Raw)
			}
		}
	}
}

func TestImportDeclaredType(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	_, put := b.container()
	at := put("mixed.ndjson", line("p", "1", -60, "")+`{"resourceType":"Basic","id":"b"}`+"\n")
	body := strings.Replace(importBody(at), `"part":[`, `"part":[{"name":"type","valueString":"Patient"},`, 1)
	got := b.get(b.want(b.postImport(body), 202, "").header.Get("Content-Location"))
	result := parse[importResult](b.want(got, 200, ""))
	if len(result.Error) != 1 || result.Error[0].Count != 1 || *result.Error[0].Type != "Patient" || *result.Output[0].Type != "Patient" {
		t.Fatalf("section 4.2: %s", got.body)
	}
	if !strings.Contains(result.Error[0].URL, "/fhirlogs/Patient"+strings.TrimPrefix(b.lastJob("import"), "import/")+"_") {
		t.Errorf("section 5: error log %s", result.Error[0].URL)
	}
}

// lastJob is "import/<id>" of the job that was created last.
func (b *bench) lastJob(operation string) string {
	return fmt.Sprintf("%s/%d", operation, b.schedule.order[len(b.schedule.order)-1].id)
}

func TestImportResult(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	_, put := b.container()
	// Units of 150 bytes: two lines in the first, one bad line in each of the other two.
	data := line("a", "1", -60, "") + line("b", "1", -60, "")
	for len(data) < 300 {
		data += " "
	}
	data = data[:299] + "\n" + "{\n" + strings.Repeat(" ", 148) + "\n{\n"
	full, empty := put("full.ndjson", data), put("empty.ndjson", "")
	body := strings.TrimSuffix(importBody(full, empty), "]}") + `,{"name":"processingUnitBytesToRead","valueInteger":150},{"name":"errorContainerName","valueString":"my-errors"}]}`
	at := b.want(b.postImport(body), 202, "").header.Get("Content-Location")
	got := b.want(b.get(at), 200, "")
	result := parse[importResult](got)
	if diff := cmp.Diff([]importOutput{{nil, 2, full}, {nil, 0, empty}}, result.Output); diff != "" {
		t.Errorf("section 4.2: output, -want +got:\n%s", diff)
	}
	if !strings.Contains(got.body, `{"type":null,"count":0,"inputUrl":"`+empty) || result.TransactionTime != "2024-05-01T12:00:00+00:00" || result.Request != b.URL()+"/$import" {
		t.Errorf("section 4.2: %s", got.body)
	}
	if len(result.Error) != 2 || result.Error[0].InputURL != full || result.Error[1].InputURL != full || result.Error[0].URL == result.Error[1].URL {
		t.Fatalf("section 4.2: error %+v, want one entry a unit", result.Error)
	}
	for _, e := range result.Error {
		if content := b.blob(e.URL); !strings.Contains(e.URL, "/my-errors/") || !strings.Contains(content, "at line: 0 with stream start offset: ") && !strings.Contains(content, "at line: 1 with stream start offset: ") {
			t.Errorf("section 5: %s: %s", e.URL, content)
		}
	}
	details := parse[importResult](b.want(b.get(at+"?_details=true"), 200, ""))
	if len(details.Output) != 5 {
		t.Errorf("section 4.2: with details %d entries, want one a unit: %+v", len(details.Output), details.Output)
	}
}

func TestImportFailures(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	name, put := b.container()
	base := strings.TrimSuffix(b.blobs.URL(), "/") + "/"
	many := &strings.Builder{}
	for i := range maxPerMillisec + 1 {
		many.WriteString(line(fmt.Sprint("r", i), "1", -60, ""))
	}
	overflow := put("overflow.ndjson", line("p", "1", -60, `,"valueDecimal":1000000000000000000`))
	tests := []struct {
		name, section, body string
		status              int
		reason              string
	}{
		{"missing blob", "4.3", importBody(base + name + "/none.ndjson"), 404, "import operation failed for reason: "},
		{"missing container", "4.3", importBody(base + "no-such-container/none.ndjson"), 404, "import operation failed for reason: "},
		{"url without a blob", "4.3", importBody(base + name), 404, "import operation failed for reason: "},
		{"other etag", "4.3", strings.Replace(importBody(put("etag.ndjson", "")), `"part":[`, `"part":[{"name":"etag","valueString":"0x1"},`, 1), 400, "import operation failed for reason: "},
		{"number overflow", "6.1", importBody(overflow), 400, "ErrorFile: " + overflow},
		{"overflow by exponent", "6.1", importBody(put("exponent.ndjson", line("q", "1", -60, `,"v":-1.5e20`))), 400, "import operation failed for reason: Arithmetic overflow"},
		{"one millisecond", "6.1", importBody(put("many.ndjson", many.String())), 400, "ErrorFile: "},
		{"bad error container", "4.3", strings.TrimSuffix(importBody(put("bad.ndjson", "{")), "]}") + `,{"name":"errorContainerName","valueString":"Not_Valid"}]}`, 400, "ErrorFile: "},
	}
	for _, test := range tests {
		at := b.want(b.postImport(test.body), 202, "").header.Get("Content-Location")
		got := b.get(at)
		if got.status != test.status || got.code() != codeProcessing || !strings.Contains(parse[operationOutcome](got).first().Diagnostics, test.reason) {
			t.Errorf("section %s: %s: %d %s", test.section, test.name, got.status, got.body)
		}
		b.want(b.call(http.MethodDelete, at, ""), 409, codeProcessing)
	}
	// What was committed before the failure stays: 80 batches of 1000 fit, the last row does not.
	if got := len(b.Versions()); got != maxPerMillisec {
		t.Errorf("section 4.3: %d versions are stored, want %d", got, maxPerMillisec)
	}
	b.want(b.get("/_operations/import/7"), 404, codeNotFound)
}

func TestImportWithEtagAndLease(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	name, put := b.container()
	at := put("a.ndjson", line("p", "1", -60, ""))
	props, err := b.blobs.ServiceClient().NewContainerClient(name).NewBlobClient("a.ndjson").GetProperties(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	etag := strings.Trim(string(*props.ETag), `"`)
	body := strings.Replace(importBody(at), `"part":[`, `"part":[{"name":"etag","valueString":"`+etag+`"},`, 1)
	b.want(b.get(b.postImport(body).header.Get("Content-Location")), 200, "")
	// With its quotes it is another one: 3.1.
	quoted := strings.Replace(body, etag, `\"`+etag+`\"`, 1)
	b.want(b.get(b.postImport(quoted).header.Get("Content-Location")), 400, codeProcessing)
	put("a.ndjson", "") // section 6.4: the lease is given back
}

// Section 4.3: an input that vanishes while the import runs fails it, and what is loaded stays.
func TestImportInputVanishes(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{ImportTime: func(int) time.Duration { return time.Hour }})
	container, put := b.container()
	first, second := put("vanishing-1.ndjson", line("a", "1", -60, "")), put("vanishing-2.ndjson", line("b", "1", -60, ""))
	at := b.want(b.postImport(importBody(first, second)), 202, "").header.Get("Content-Location")
	b.clock.Advance(59 * time.Minute) // one unit is loaded
	b.want(b.get(at), 202, "")
	loaded := b.Versions()
	for _, name := range []string{"vanishing-1.ndjson", "vanishing-2.ndjson"} {
		if _, err := b.blobs.DeleteBlob(t.Context(), container, name, nil); err != nil {
			t.Fatal(err)
		}
	}
	b.clock.Advance(time.Minute)
	got := b.want(b.get(at), 400, codeProcessing)
	if !strings.Contains(got.body, "import operation failed for reason: ") || !strings.Contains(got.body, "ErrorFile: "+strings.TrimSuffix(first, "1.ndjson")) {
		t.Errorf("%s", got.body)
	}
	if len(loaded) != 1 || len(b.Versions()) != 1 {
		t.Errorf("loaded %v, at last %v", keys(loaded), keys(b.Versions()))
	}
}

func TestImportInitialLoad(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{InitialImportMode: true})
	b.load(version("Patient", "there", 1, -100, ""))
	mode := `{"name":"mode","valueString":"InitialLoad"}`
	result, reasons := b.run(line("p", "7", -60, "")+line("p", "8", -50, "")+line("there", "2", -40, "")+line("c", "1", -30, `,"managingOrganization":{"reference":"Organization?x=1"}`), mode)
	if result.Output[0].Count != 1 || len(reasons) != 3 {
		t.Errorf("section 6.3: %+v, refused %q", result.Output, reasons)
	}
	got := b.Versions()
	if diff := cmp.Diff([]string{"Patient/p/1", "Patient/there/1"}, keys(got)); diff != "" || !got[0].LastUpdated.Equal(noon) {
		t.Errorf("section 6.3: at %s, -want +got:\n%s", got[0].LastUpdated, diff)
	}
}

// An import of 100 lines in ten units takes 100 seconds here: ten for the orchestrator, nine for each unit.
func TestImportTakesTimeAndShowsProgress(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{Workers: 1, ImportTime: func(lines int) time.Duration { return time.Duration(lines) * time.Second }})
	_, put := b.container()
	var urls []string
	for i := range 10 {
		content := ""
		for j := range 10 {
			content += line(fmt.Sprintf("p%d-%d", i, j), "1", -60, "")
		}
		urls = append(urls, put(fmt.Sprint("f", i), content))
	}
	at := b.want(b.postImport(importBody(urls...)), 202, "").header.Get("Content-Location")
	counted := func(status int) int {
		t.Helper()
		n := 0
		for _, o := range parse[importResult](b.want(b.get(at), status, "")).Output {
			n += o.Count
		}
		if stored := len(b.Versions()); stored != n {
			t.Errorf("%d rows are stored, %d counted", stored, n)
		}
		return n
	}
	b.clock.Advance(10*time.Second - 1)
	if got := b.want(b.get(at), 202, ""); got.body != "" {
		t.Errorf("section 4.1: while the orchestrator runs: %s", got.body)
	}
	b.clock.Advance(1)
	if got := b.want(b.get(at), 202, ""); !strings.Contains(got.body, `"output":[]`) {
		t.Errorf("section 4.1: after the orchestrator: %s", got.body)
	}
	b.clock.Advance(27 * time.Second)
	if n := counted(202); n != 30 {
		t.Errorf("section 4.1: after three units %d lines", n)
	}
	b.clock.Advance(63 * time.Second)
	if n := counted(200); n != 100 {
		t.Errorf("section 4.1: at the end %d lines", n)
	}
	if diff := cmp.Diff([]Interval{{noon, noon.Add(100 * time.Second)}}, b.Busy()); diff != "" {
		t.Errorf("busy, -want +got:\n%s", diff)
	}
	b.want(b.call(http.MethodDelete, at, ""), 409, codeProcessing)
	b.want(b.call(http.MethodDelete, b.URL()+"/_operations/import/7", ""), 404, codeNotFound)
}

func TestImportCancel(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{Workers: 1, ImportTime: func(int) time.Duration { return 1000 * time.Second }})
	_, put := b.container()
	at := b.postImport(importBody(put("a", line("a", "1", -60, "")), put("b", line("b", "1", -60, "")))).header.Get("Content-Location")
	waiting := b.postImport(importBody(put("c", ""))).header.Get("Content-Location")
	b.want(b.call(http.MethodDelete, at, ""), 202, "")
	b.want(b.get(at), 202, "") // the orchestrator notices at its next heartbeat
	b.want(b.call(http.MethodDelete, at, ""), 202, "")
	b.want(b.call(http.MethodDelete, waiting, ""), 202, "")
	b.want(b.get(waiting), 400, codeProcessing)
	b.clock.Advance(30 * time.Second)
	b.want(b.get(at), 400, codeProcessing)

	at = b.postImport(importBody(put("d", line("d", "1", -60, "")), put("e", line("e", "1", -60, "")))).header.Get("Content-Location")
	b.clock.Advance(600 * time.Second) // one of the two units is done
	b.want(b.call(http.MethodDelete, at, ""), 202, "")
	b.want(b.get(at), 400, codeProcessing)
	b.clock.Advance(time.Hour)
	b.want(b.get(at), 400, codeProcessing)
	if got := keys(b.Versions()); len(got) != 1 {
		t.Errorf("section 4.3: rows already committed stay, the others do not come: %v", got)
	}
}
