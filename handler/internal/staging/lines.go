package staging

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
)

// maxLine bounds a line of NDJSON, in bytes: one resource.
const maxLine = 256 << 20

// Lines hands the lines of an exported file to yield, from line number skip (counted from 0) on, until it wants no more. Empty lines are no lines. The file is streamed; a line is
// yield's to keep. An error of yield is returned as it is. Whatever host the URL names, the file is looked for in
// the account of the exported files. ErrNotFound.
func (s *Store) Lines(ctx context.Context, fileURL string, skip int64, yield func(line string) (more bool, err error)) error {
	container, name, err := blobOf(fileURL)
	if err != nil {
		return err
	}
	return lines(ctx, s.exported, container, name, skip, yield)
}

func lines(ctx context.Context, from blobs, container, name string, skip int64, yield func(line string) (more bool, err error)) error {
	body, err := from.get(ctx, container, name, 0)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := eachLine(body, skip, yield); err != nil {
		var ours yieldError
		if errors.As(err, &ours) {
			return ours.error
		}
		return wrap("read", container, name, err)
	}
	return nil
}

// LinesFrom hands the lines of an exported file to yield, those from byte offset on, at which the line with that number begins: empty ones, too, each with its
// number and the byte at which it begins, until yield wants no more. The file is streamed; a line is good until yield returns. An error of yield is
// returned as it is. ErrNotFound.
func (s *Store) LinesFrom(ctx context.Context, fileURL string, number, offset int64, yield func(number, offset int64, line []byte) (more bool, err error)) error {
	container, name, err := blobOf(fileURL)
	if err != nil {
		return err
	}
	body, err := s.exported.get(ctx, container, name, offset)
	if err != nil {
		return err
	}
	defer body.Close()
	r, done := lineReader(body)
	defer done()
	for {
		line, err := readLine(r)
		if len(line) > 0 {
			if more, wrong := yield(number, offset, line); wrong != nil || !more {
				return wrong
			}
			number++
			offset += int64(len(line))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return wrap("read", container, name, err)
		}
	}
}

// yieldError tells an error of yield from one of the file.
type yieldError struct{ error }

func eachLine(body io.Reader, skip int64, yield func(string) (bool, error)) error {
	r, done := lineReader(body)
	defer done()
	for {
		line, err := readLine(r)
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if skip > 0 {
				skip--
			} else if more, wrong := yield(string(line)); wrong != nil {
				return yieldError{wrong}
			} else if !more {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lineReaders are kept, as their buffers are large.
var lineReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 256<<10) }}

// lineReader reads body until done is called.
func lineReader(body io.Reader) (r *bufio.Reader, done func()) {
	r = lineReaders.Get().(*bufio.Reader)
	r.Reset(body)
	return r, func() {
		r.Reset(nil)
		lineReaders.Put(r)
	}
}

// readLine reads up to the next line break; the bytes are good until the next call.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	whole := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(whole) > maxLine {
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
		line, err = r.ReadSlice('\n')
		whole = append(whole, line...)
	}
	return whole, err
}

// blobOf finds container and blob in the URL of an exported file: the last two parts of its path and beyond, since an emulator has the
// account in front. The host is not looked at: whatever it says, only the store's own accounts are asked.
func blobOf(fileURL string) (container, name string, err error) {
	u, err := url.Parse(fileURL)
	if err != nil || u.Host == "" {
		return "", "", fmt.Errorf("%.300q is not the URL of a blob", fileURL)
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	// https://account.blob.core.windows.net/container/blob, and http://127.0.0.1:10000/account/container/blob
	if !strings.Contains(u.Host, ".blob.") && len(parts) > 2 {
		parts = parts[1:]
	}
	if len(parts) < 2 {
		return "", "", fmt.Errorf("%.300q names no blob in a container", fileURL)
	}
	return parts[0], strings.Join(parts[1:], "/"), nil
}
