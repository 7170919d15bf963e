package settings

import (
	"fmt"
	"strings"
	"time"
)

// Credential says how calls to a FHIR service are authorised.
type Credential string

const (
	// CredentialDefault is azidentity's DefaultAzureCredential: the managed identity in Azure.
	CredentialDefault Credential = "default"
	// CredentialNone sends no token: for a service on loopback.
	CredentialNone Credential = "none"
)

// Decode reads a Credential, whatever its case.
func (c *Credential) Decode(value string) error { return choose(c, value) }

func (Credential) options() []Credential { return []Credential{CredentialDefault, CredentialNone} }

// ChunkUnit is the unit of ExportChunkTime.
type ChunkUnit string

// The units of ExportChunkTime. A day has 24 hours: windows are in UTC.
const (
	Days    ChunkUnit = "Days"
	Hours   ChunkUnit = "Hours"
	Minutes ChunkUnit = "Minutes"
)

// Decode reads a ChunkUnit, whatever its case.
func (u *ChunkUnit) Decode(value string) error { return choose(u, value) }

func (ChunkUnit) options() []ChunkUnit { return []ChunkUnit{Days, Hours, Minutes} }

func (u ChunkUnit) length() time.Duration {
	switch u {
	case Hours:
		return time.Hour
	case Minutes:
		return time.Minute
	default:
		return 24 * time.Hour
	}
}

// ImportMode is the mode of $import.
type ImportMode string

const (
	// IncrementalLoad keeps versionId and lastUpdated.
	IncrementalLoad ImportMode = "IncrementalLoad"
	// InitialLoad makes every resource version 1, changed now; the destination must be in initial-import mode.
	InitialLoad ImportMode = "InitialLoad"
)

// Decode reads an ImportMode, whatever its case.
func (m *ImportMode) Decode(value string) error { return choose(m, value) }

func (ImportMode) options() []ImportMode { return []ImportMode{IncrementalLoad, InitialLoad} }

// Preflight says when exported lines are looked at.
type Preflight string

// The values of Preflight.
const (
	PreflightFailed Preflight = "failed"
	PreflightAll    Preflight = "all"
	PreflightOff    Preflight = "off"
)

// Decode reads a Preflight, whatever its case.
func (p *Preflight) Decode(value string) error { return choose(p, value) }

func (Preflight) options() []Preflight {
	return []Preflight{PreflightFailed, PreflightAll, PreflightOff}
}

// Secret is a text that no log and no error shows. Reveal gives it to the client that needs it.
type Secret string

// Reveal is the text itself.
func (s Secret) Reveal() string { return string(s) }

// String is "set", or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "set"
}

// GoString keeps the secret out of %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText keeps the secret out of JSON and of structured logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// choice is a type of which a few texts are values.
type choice[T any] interface {
	~string
	options() []T
}

// choose sets *to to the one of its options that value spells in any case.
func choose[T choice[T]](to *T, value string) error {
	for _, option := range (*to).options() {
		if strings.EqualFold(value, string(option)) {
			*to = option
			return nil
		}
	}
	return fmt.Errorf("set it to %s", strings.Join(optionNames(*to), " or "))
}

func optionNames[T choice[T]](of T) []string {
	var names []string
	for _, option := range of.options() {
		names = append(names, string(option))
	}
	return names
}
