// Package ndjson reads FHIR resources from NDJSON files, plain or gzipped, and gives them the versions and times that a
// FHIR service would have given them.
//
// A resource is taken as it stands: every digit, every key and their order, whatever its length. Only meta.versionId and
// meta.lastUpdated are set; other members of meta (profile, security, tag) stay. What a FHIR service could not hold, or
// its $import would refuse, is an error that names file and line.
package ndjson

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"fhirmigration/sandbox/fhirservice"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// Load reads a file, or the files *.ndjson and *.ndjson.gz of a folder (not of folders below it), in the order of their
// names. The resources come back as versions "1", their lastUpdated spread evenly over [start, end), in milliseconds.
//
// Which resource gets which instant depends on types and ids alone, not on how they are laid out in files: the order is
// that of a hash, so that every stretch of time holds a mixture of types.
//
// An error names the file and the line: no JSON object, an unknown resourceType, an id that is missing or malformed, the
// same type and id twice, a SearchParameter (which $import refuses). Nothing is returned with an error. No resource at
// all is an error too.
func Load(path string, start, end time.Time) ([]fhirservice.Version, error) {
	files, err := list(path)
	if err != nil {
		return nil, err
	}
	c := collection{seen: map[string]place{}}
	for _, file := range files {
		if err := c.readFile(file); err != nil {
			return nil, err
		}
	}
	if len(c.versions) == 0 {
		return nil, fmt.Errorf("%s: holds no resource: name a file or a folder of *.ndjson or *.ndjson.gz", path)
	}
	if err := spread(c.versions, start, end); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c.versions, nil
}

// list names the files to read.
func list(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open data: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("open data: %w", err)
	}
	var files []string
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() && (strings.HasSuffix(name, ".ndjson") || strings.HasSuffix(name, ".ndjson.gz")) {
			files = append(files, filepath.Join(path, name))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("open data: %s: no *.ndjson or *.ndjson.gz in it: %w", path, fs.ErrNotExist)
	}
	return files, nil
}

// place is where a resource stands.
type place struct {
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s, line %d", p.file, p.line) }

// collection is what has been read so far.
type collection struct {
	versions []fhirservice.Version
	seen     map[string]place // "Type/id"
}

func (c *collection) readFile(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open data: %w", err)
	}
	defer file.Close()
	var content io.Reader = file
	if strings.HasSuffix(name, ".gz") {
		unzipped, err := gzip.NewReader(file)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer unzipped.Close()
		content = unzipped
	}
	return c.read(name, content)
}

// read takes the lines of one file. A line may be as long as memory allows, so bufio.Scanner will not do.
func (c *collection) read(name string, content io.Reader) error {
	reader := bufio.NewReaderSize(content, 1<<20)
	for at := (place{file: name, line: 1}); ; at.line++ {
		line, err := reader.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", at, err)
		}
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 {
			if refused := c.add(at, trimmed); refused != nil {
				return fmt.Errorf("%s: %w", at, refused)
			}
		}
		if err != nil {
			return nil
		}
	}
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9\-.]{1,64}$`)

// add takes one resource and keeps its bytes.
func (c *collection) add(at place, raw []byte) error {
	if err := checkJSON(raw); err != nil {
		return err
	}
	resource := gjson.ParseBytes(raw)
	resourceType, id, meta := resource.Get("resourceType"), resource.Get("id"), resource.Get("meta")
	_, known := resourceTypes[resourceType.String()]
	switch {
	case resourceType.Type != gjson.String:
		return errors.New("no resourceType")
	case !known:
		return fmt.Errorf("resourceType %q is not one of FHIR R4", resourceType.String())
	case resourceType.String() == "SearchParameter":
		return errors.New("a SearchParameter, which $import refuses: take it out")
	case id.Type != gjson.String || id.String() == "":
		return fmt.Errorf("the %s has no id", resourceType.String())
	case !idPattern.MatchString(id.String()):
		return fmt.Errorf("the %s has the id %q: an id is 1 to 64 letters, digits, dots and dashes", resourceType.String(), id.String())
	case meta.Exists() && !meta.IsObject():
		return fmt.Errorf("the meta of %s/%s is no object", resourceType.String(), id.String())
	}
	name := resourceType.String() + "/" + id.String()
	if before, twice := c.seen[name]; twice {
		return fmt.Errorf("%s was there already: %s", name, before)
	}
	c.seen[name] = at
	c.versions = append(c.versions, fhirservice.Version{
		Type: resourceType.String(), ID: id.String(), VersionID: "1", Raw: raw,
	})
	return nil
}

// checkJSON tells whether a line is one JSON object in UTF-8, and where it stops being one.
func checkJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("not UTF-8")
	}
	var object map[string]json.RawMessage
	err := json.Unmarshal(raw, &object)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("no JSON: %w at byte %d", err, syntax.Offset)
	case err != nil || object == nil:
		return errors.New("no JSON object")
	}
	return nil
}

// spread orders the resources by a hash of type and id, and gives the i-th of n the instant at i/n of the time.
func spread(versions []fhirservice.Version, start, end time.Time) error {
	start = start.UTC().Truncate(time.Millisecond)
	milliseconds, n := end.Sub(start).Milliseconds(), int64(len(versions))
	if milliseconds < n {
		return fmt.Errorf("%d resources do not fit between %s and %s, a millisecond each",
			n, start.Format(time.RFC3339), end.Format(time.RFC3339))
	}
	slices.SortFunc(versions, func(a, b fhirservice.Version) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID))
	})
	for i := range versions {
		at := start.Add(time.Duration(milliseconds*int64(i)/n) * time.Millisecond)
		if err := stamp(&versions[i], at); err != nil {
			return err
		}
	}
	return nil
}

// rank scatters types and ids evenly, even ids that are numbers in a row.
func rank(v fhirservice.Version) uint64 {
	sum := sha256.Sum256([]byte(v.Type + "/" + v.ID))
	return binary.BigEndian.Uint64(sum[:])
}

// stamp writes version and time into a resource, and leaves every other byte as it is.
func stamp(v *fhirservice.Version, at time.Time) error {
	v.LastUpdated = at
	values := []struct{ path, value string }{
		{"meta.versionId", v.VersionID},
		{"meta.lastUpdated", at.Format("2006-01-02T15:04:05.000+00:00")},
	}
	for _, set := range values {
		raw, err := sjson.SetRawBytes(v.Raw, set.path, []byte(`"`+set.value+`"`))
		if err != nil {
			return fmt.Errorf("set %s of %s/%s: %w", set.path, v.Type, v.ID, err)
		}
		v.Raw = raw
	}
	return nil
}
