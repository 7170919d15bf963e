package staging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

const manifestBlob = "manifest.json"

// ErrNotFound: no such blob, or no such container.
var ErrNotFound = errors.New("no such blob")

// ErrAnotherManifest: the container of an export holds a manifest already, and not this one. Ids of export jobs repeat
// from one FHIR service to another, so it is what an earlier migration left.
var ErrAnotherManifest = errors.New("the container holds the manifest of another export")

// Options say how to reach the storage account: a ConnectionString (emulators), or an Endpoint with a Credential.
type Options struct {
	Endpoint         string
	Credential       azcore.TokenCredential
	ConnectionString string

	// ExportEndpoint is the account that the FHIR services export to and import from, "" when it is the same one. Names of
	// blobs come from outside, but no token ever goes to another account than these two.
	ExportEndpoint string
}

// Store reads and writes the blobs of the migration. It is safe for concurrent use.
type Store struct {
	blobs    blobs // of the app's own account
	exported blobs // of the account with the exported files and the error logs
}

// Open makes a store; it calls nothing.
func Open(o Options) (*Store, error) {
	own, err := openStorage(o)
	if err != nil {
		return nil, err
	}
	if o.ExportEndpoint == "" || o.ConnectionString != "" {
		return &Store{own, own}, nil
	}
	o.Endpoint = o.ExportEndpoint
	exported, err := openStorage(o)
	return &Store{own, exported}, err
}

// exportIDs allows what both kinds of service give (numbers, formerly GUIDs) and what a container name can hold.
var exportIDs = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// CheckExportID refuses an id of an export job that cannot be part of a container's name.
func CheckExportID(exportID string) error {
	if len(exportID) > 56 || !exportIDs.MatchString(strings.ToLower(exportID)) {
		return fmt.Errorf("export id %.80q cannot be part of a container's name", exportID)
	}
	return nil
}

func containerOf(exportID string) (string, error) {
	if err := CheckExportID(exportID); err != nil {
		return "", err
	}
	return "import-" + strings.ToLower(exportID), nil
}

// PutManifest saves body, the manifest of an export. One that is there already stays: if it says the same, all is well,
// otherwise ErrAnotherManifest.
func (s *Store) PutManifest(ctx context.Context, exportID string, body io.ReadSeeker) error {
	name, err := containerOf(exportID)
	if err != nil {
		return err
	}
	if err := s.blobs.createContainer(ctx, name); err != nil {
		return err
	}
	err = s.blobs.put(ctx, name, manifestBlob, body, createOnly)
	if errors.Is(err, errBlobExists) {
		return s.sameManifest(ctx, exportID, body)
	}
	return err
}

func (s *Store) sameManifest(ctx context.Context, exportID string, body io.ReadSeeker) error {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	ours, err := ReadManifest(body)
	if err != nil {
		return err
	}
	theirs, err := s.Manifest(ctx, exportID)
	if err != nil {
		return err
	}
	if !ours.Same(theirs) {
		return fmt.Errorf("import-%s/%s: %w", strings.ToLower(exportID), manifestBlob, ErrAnotherManifest)
	}
	return nil
}

// Manifest reads the manifest of an export.
func (s *Store) Manifest(ctx context.Context, exportID string) (Manifest, error) {
	name, err := containerOf(exportID)
	if err != nil {
		return Manifest{}, err
	}
	body, err := s.blobs.get(ctx, name, manifestBlob, 0)
	if err != nil {
		return Manifest{}, err
	}
	defer body.Close()
	m, err := ReadManifest(body)
	return m, wrap("read", name, manifestBlob, err)
}

// PutPayload saves the body of an $import before it is posted. Saving the same body again is harmless.
func (s *Store) PutPayload(ctx context.Context, exportID, payloadBlob string, body []byte) error {
	return s.put(ctx, exportID, payloadBlob, bytes.NewReader(body))
}

// PutImportResult saves what the $import of a payload answered when it ended.
func (s *Store) PutImportResult(ctx context.Context, exportID, payloadBlob string, body io.ReadSeeker) error {
	return s.put(ctx, exportID, resultBlob(payloadBlob), body)
}

// ImportResult reads what PutImportResult saved.
func (s *Store) ImportResult(ctx context.Context, exportID, payloadBlob string) (ImportResult, error) {
	name, err := containerOf(exportID)
	if err != nil {
		return ImportResult{}, err
	}
	body, err := s.blobs.get(ctx, name, resultBlob(payloadBlob), 0)
	if err != nil {
		return ImportResult{}, err
	}
	defer body.Close()
	r, err := ReadImportResult(body)
	return r, wrap("read", name, resultBlob(payloadBlob), err)
}

func resultBlob(payloadBlob string) string {
	return strings.TrimSuffix(payloadBlob, ".json") + "_result.json"
}

func (s *Store) put(ctx context.Context, exportID, blobName string, body io.ReadSeeker) error {
	name, err := containerOf(exportID)
	if err != nil {
		return err
	}
	return s.blobs.put(ctx, name, blobName, body, overwrite)
}
