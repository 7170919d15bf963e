package migration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// errManifest: the export ended well, but with a manifest that cannot be worked with. Asking again gives the same one.
var errManifest = errors.New("unusable manifest")

// manifestBody is an export's 200 body, spooled: it has many megabytes when the export has many files, is read
// once to be checked, and then uploaded.
type manifestBody struct {
	io.ReadSeekCloser
	manifest staging.Manifest
}

// spoolManifest returns what fhir.Service.PollExport hands the body to. A body that breaks off is an error of the transport: the
// manifest is asked for again.
func spoolManifest(into **manifestBody) func(io.Reader) error {
	return func(body io.Reader) (err error) {
		b := &manifestBody{}
		if b.ReadSeekCloser, err = spool(body); err != nil {
			return err
		}
		*into = b
		if b.manifest, err = staging.ReadManifest(b); errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		} else if err != nil {
			return fmt.Errorf("%w: %w", errManifest, err)
		}
		_, err = b.Seek(0, io.SeekStart)
		return err
	}
}

func (b *manifestBody) close() {
	if b != nil && b.ReadSeekCloser != nil {
		b.Close()
	}
}

// shortBody is up to where a body is kept in memory, in bytes. Most are, and a file costs ten calls to the system.
const shortBody = 64 << 10

// shortSpool is a body in memory.
type shortSpool struct{ *bytes.Reader }

// Close has nothing to do.
func (shortSpool) Close() error { return nil }

// spool copies body: what is short to memory, all else to a temporary file that is already unlinked, so that nothing is left
// behind, even by a kill.
func spool(body io.Reader) (io.ReadSeekCloser, error) {
	short, err := io.ReadAll(io.LimitReader(body, shortBody))
	if err != nil {
		return nil, err
	}
	if len(short) < shortBody {
		return shortSpool{bytes.NewReader(short)}, nil
	}
	f, err := os.CreateTemp("", "fhir-migration-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	os.Remove(f.Name())
	if _, err := io.Copy(f, io.MultiReader(bytes.NewReader(short), body)); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	return f, nil
}

// manifestNotSaved: a container that another migration left under the same export id holds the window, since importing
// what lies there would import something else. Any other error of storage is tried again.
func (t *tick) manifestNotSaved(ctx context.Context, w ledger.Window, cause error) (_ ledger.Window, tooLarge string, _ error) {
	if !errors.Is(cause, staging.ErrAnotherManifest) {
		return w, "", fmt.Errorf("%s: %w", w.Name(), cause)
	}
	next, moveErr := w.Hold(cause.Error()+": delete or rename that container of an earlier migration, then release the window", t.Clock())
	next, _, err := t.save(ctx, w, next, moveErr)
	return next, "", err
}
