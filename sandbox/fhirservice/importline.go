package fhirservice

import (
	"bytes"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// importLine is one line of an input after parsing.
type importLine struct {
	index    int // within its unit, from 0
	from, to int // bytes in the blob

	typ, id     string
	raw         []byte    // without the mark of a deletion, lastUpdated cut to milliseconds
	lastUpdated time.Time // zero: not given
	number      int       // the version
	hasVersion  bool      // the version is kept: it is a whole number and there is a lastUpdated
	deleted     bool
	conditional bool   // holds a conditional reference
	overflow    bool   // holds a number that kills the import
	problem     string // why the line is refused; "": it is good

	dropped bool // by a fault: as if the line were not there
	lost    bool // by a fault: counted, but not stored
}

func (l *importLine) key() key { return key{l.typ, l.id} }

// parse reads what the import needs to know. Nothing else is validated: no profile, no cardinality, no references.
func (l *importLine) parse(line []byte, declared string) {
	if !gjson.ValidBytes(line) || len(line) == 0 || bytes.TrimSpace(line)[0] != '{' {
		l.problem = "Failed to parse the line: it is not a JSON object."
		return
	}
	found := gjson.GetManyBytes(line, "resourceType", "id", "meta.versionId", "meta.lastUpdated", "meta.extension")
	l.raw, l.typ, l.id = line, found[0].String(), found[1].String()
	switch {
	case !isResourceType(l.typ):
		l.problem = fmt.Sprintf("Failed to parse the line: '%s' is not a resource type.", l.typ)
	case found[1].Type != gjson.String || !idPattern.MatchString(l.id):
		l.problem = fmt.Sprintf("Invalid resource id: '%s'. It must be 1 to 64 of [A-Za-z0-9-.].", l.id)
	case declared != "" && declared != l.typ:
		l.problem = fmt.Sprintf("The resource type '%s' is not the type '%s' of the input.", l.typ, declared)
	case l.typ == searchParameterType:
		l.problem = "Resources of type SearchParameter cannot be imported."
	}
	if l.problem == "" {
		l.parseMeta(found[2], found[3], found[4])
	}
	if l.problem == "" {
		l.overflow = overflowsDecimal(l.raw)
		l.conditional = hasConditionalReference(l.raw)
	}
}

// parseMeta keeps the version only together with a lastUpdated.
func (l *importLine) parseMeta(version, lastUpdated, extension gjson.Result) {
	var err error
	if extension.Exists() {
		if l.raw, l.deleted, err = stripDeletedMark(l.raw); err != nil {
			l.problem = err.Error()
			return
		}
	}
	if !lastUpdated.Exists() {
		return
	}
	var spelled string
	if l.lastUpdated, spelled, err = parseInstant(lastUpdated.String()); err != nil {
		l.problem = fmt.Sprintf("Failed to parse the line: lastUpdated: %v.", err)
		return
	}
	if spelled != lastUpdated.Str {
		if l.raw, err = sjson.SetBytes(l.raw, "meta.lastUpdated", spelled); err != nil {
			l.problem = err.Error()
			return
		}
	}
	if n, err := strconv.ParseInt(version.String(), 10, 32); err == nil {
		l.number, l.hasVersion = int(n), true
	}
}

// overflowsDecimal finds a number of 10^18 or more, which the index columns, decimal(36,18), cannot hold.
// (The service only indexes some numbers of a resource; here each one counts.)
func overflowsDecimal(raw []byte) bool {
	inString := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && c >= '0' && c <= '9':
			end := i
			for end < len(raw) && bytes.IndexByte([]byte("0123456789.eE+-"), raw[end]) >= 0 {
				end++
			}
			if end-i > 3 && tooLarge(string(raw[i:end])) {
				return true
			}
			i = end - 1
		}
	}
	return false
}

// tooLarge says whether a number is 10^18 or more. A float64 is not exact there: to it, 18 nines are as much.
func tooLarge(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f > 1.1e18 {
		return true
	}
	if f < 9e17 {
		return false
	}
	exact, _, err := big.ParseFloat(number, 10, 512, big.ToZero)
	return err != nil || exact.Cmp(big.NewFloat(1e18)) >= 0
}

// hasConditionalReference finds a reference that is a search, as Patient?identifier=1.
func hasConditionalReference(raw []byte) bool {
	mark := []byte(`"reference":"`)
	for {
		i := bytes.Index(raw, mark)
		if i < 0 {
			return false
		}
		raw = raw[i+len(mark):]
		end := bytes.IndexByte(raw, '"')
		if end > 0 && bytes.IndexByte(raw[:end], '?') > 0 {
			return true
		}
	}
}
