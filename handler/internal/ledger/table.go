package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// What a table can answer beyond success. Everything else is an error of storage: wait and try again.
var (
	// ErrNotFound: no such row, or no such table yet.
	ErrNotFound = errors.New("no such row")
	// ErrExists: an insert found a row under its key, perhaps our own whose reply was lost.
	ErrExists = errors.New("the row exists")
	// ErrConflict: the row was changed since it was read, perhaps by our own save whose reply was lost.
	ErrConflict = errors.New("the row was changed meanwhile")

	errNoETag = errors.New("a save without the ETag of what was read")
)

// table is one storage table without the ways in which aztables overwrites silently: no upsert, and no update without
// an ETag.
type table struct {
	client *aztables.Client
	name   string
}

// create makes the table. A table that is there already is as good.
func (t table) create(ctx context.Context) error {
	_, err := t.client.CreateTable(ctx, nil)
	if hasStatus(err, http.StatusConflict) {
		return nil
	}
	return t.wrap("create", "", err)
}

func (t table) get(ctx context.Context, partition, row string) (properties, azcore.ETag, error) {
	reply, err := t.client.GetEntity(ctx, partition, row, nil)
	switch {
	case hasStatus(err, http.StatusNotFound):
		return nil, "", t.wrap("read", row, ErrNotFound)
	case err != nil:
		return nil, "", t.wrap("read", row, err)
	}
	var e aztables.EDMEntity
	if err := json.Unmarshal(reply.Value, &e); err != nil {
		return nil, "", t.wrap("read", row, err)
	}
	return e.Properties, reply.ETag, nil
}

func (t table) insert(ctx context.Context, partition, row string, p properties) (azcore.ETag, error) {
	body, err := encodeEntity(partition, row, p)
	if err != nil {
		return "", t.wrap("insert", row, err)
	}
	reply, err := t.client.AddEntity(ctx, body, nil)
	if hasStatus(err, http.StatusConflict) {
		err = ErrExists
	}
	return reply.ETag, t.wrap("insert", row, err)
}

func (t table) replace(ctx context.Context, partition, row string, p properties, read azcore.ETag) (azcore.ETag, error) {
	if read == "" || read == azcore.ETagAny {
		return "", t.wrap("save", row, errNoETag)
	}
	body, err := encodeEntity(partition, row, p)
	if err != nil {
		return "", t.wrap("save", row, err)
	}
	reply, err := t.client.UpdateEntity(ctx, body, &aztables.UpdateEntityOptions{IfMatch: &read, UpdateMode: aztables.UpdateModeReplace})
	switch {
	case hasStatus(err, http.StatusPreconditionFailed), hasStatus(err, http.StatusConflict):
		err = ErrConflict
	case hasStatus(err, http.StatusNotFound):
		err = ErrNotFound
	}
	return reply.ETag, t.wrap("save", row, err)
}

func (t table) wrap(op, row string, err error) error {
	if err == nil {
		return nil
	}
	if row == "" {
		return fmt.Errorf("%s table %s: %w", op, t.name, err)
	}
	return fmt.Errorf("%s row %s of table %s: %w", op, row, t.name, err)
}

// encodeEntity writes the keys itself: EDMEntity would double the quotes in them, which is right in a URL and wrong in a
// body.
func encodeEntity(partition, row string, p properties) ([]byte, error) {
	body, err := json.Marshal(aztables.EDMEntity{Properties: p})
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	for name, key := range map[string]string{"PartitionKey": partition, "RowKey": row} {
		if fields[name], err = json.Marshal(key); err != nil {
			return nil, err
		}
	}
	return json.Marshal(fields)
}

func hasStatus(err error, status int) bool {
	var reply *azcore.ResponseError
	return errors.As(err, &reply) && reply.StatusCode == status
}
