package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

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

// table is one table as a Ledger uses it: there is no upsert, and no update without an ETag. It is kept by the storage
// service (storageTable) or by the twin in memory (memoryTable).
type table interface {
	name() string
	// create makes the table. A table that is there already is as good.
	create(ctx context.Context) error
	// get reads a row. ErrNotFound.
	get(ctx context.Context, partition, row string) (properties, azcore.ETag, error)
	// insert adds a row. ErrExists; ErrNotFound when there is no table yet.
	insert(ctx context.Context, partition, row string, p properties) (azcore.ETag, error)
	// replace saves a row whose ETag is still the one that was read. ErrConflict, ErrNotFound.
	replace(ctx context.Context, partition, row string, p properties, read azcore.ETag) (azcore.ETag, error)
	// remove takes a row away whose ETag is still the one that was read: a probe's own, and no other. A row that is gone is as good.
	remove(ctx context.Context, partition, row string, read azcore.ETag) error
	// list returns at most limit rows of a partition whose keys are at or after from and before till, in the order of keys.
	list(ctx context.Context, partition, from, till string, limit int) ([]listed, error)
}

// storageTable is a table of the storage service, without the ways in which aztables overwrites silently.
type storageTable struct {
	client *aztables.Client
	table  string
}

func (t storageTable) name() string { return t.table }

func (t storageTable) create(ctx context.Context) error {
	_, err := t.client.CreateTable(ctx, nil)
	if hasStatus(err, http.StatusConflict) {
		return nil
	}
	return wrap(t, "create", "", err)
}

func (t storageTable) get(ctx context.Context, partition, row string) (properties, azcore.ETag, error) {
	reply, err := t.client.GetEntity(ctx, partition, row, nil)
	switch {
	case hasStatus(err, http.StatusNotFound):
		return nil, "", wrap(t, "read", row, ErrNotFound)
	case err != nil:
		return nil, "", wrap(t, "read", row, err)
	}
	var e aztables.EDMEntity
	if err := json.Unmarshal(reply.Value, &e); err != nil {
		return nil, "", wrap(t, "read", row, err)
	}
	return e.Properties, reply.ETag, nil
}

func (t storageTable) insert(ctx context.Context, partition, row string, p properties) (azcore.ETag, error) {
	body, err := encodeEntity(partition, row, p)
	if err != nil {
		return "", wrap(t, "insert", row, err)
	}
	reply, err := t.client.AddEntity(ctx, body, nil)
	switch {
	case hasStatus(err, http.StatusConflict):
		err = ErrExists
	case hasStatus(err, http.StatusNotFound):
		err = ErrNotFound
	}
	return reply.ETag, wrap(t, "insert", row, err)
}

func (t storageTable) replace(ctx context.Context, partition, row string, p properties, read azcore.ETag) (azcore.ETag, error) {
	if err := named(read); err != nil {
		return "", wrap(t, "save", row, err)
	}
	body, err := encodeEntity(partition, row, p)
	if err != nil {
		return "", wrap(t, "save", row, err)
	}
	reply, err := t.client.UpdateEntity(ctx, body, &aztables.UpdateEntityOptions{IfMatch: &read, UpdateMode: aztables.UpdateModeReplace})
	switch {
	case hasStatus(err, http.StatusPreconditionFailed), hasStatus(err, http.StatusConflict):
		err = ErrConflict
	case hasStatus(err, http.StatusNotFound):
		err = ErrNotFound
	}
	return reply.ETag, wrap(t, "save", row, err)
}

func (t storageTable) remove(ctx context.Context, partition, row string, read azcore.ETag) error {
	if err := named(read); err != nil {
		return wrap(t, "remove", row, err)
	}
	_, err := t.client.DeleteEntity(ctx, partition, row, &aztables.DeleteEntityOptions{IfMatch: &read})
	switch {
	case hasStatus(err, http.StatusNotFound):
		return nil
	case hasStatus(err, http.StatusPreconditionFailed):
		err = ErrConflict
	}
	return wrap(t, "remove", row, err)
}

// named refuses an ETag that would overwrite whatever is there.
func named(read azcore.ETag) error {
	if read == "" || read == azcore.ETagAny {
		return errNoETag
	}
	return nil
}

func wrap(t table, op, row string, err error) error {
	if err == nil {
		return nil
	}
	if row == "" {
		return fmt.Errorf("%s table %s: %w", op, t.name(), err)
	}
	return fmt.Errorf("%s row %s of table %s: %w", op, row, t.name(), err)
}

// listed is a row of a list.
type listed struct {
	key        string
	properties properties
	etag       azcore.ETag
}

func (t storageTable) list(ctx context.Context, partition, from, till string, limit int) (rows []listed, _ error) {
	quote := func(key string) string { return "'" + strings.ReplaceAll(key, "'", "''") + "'" }
	filter := "PartitionKey eq " + quote(partition) + " and RowKey ge " + quote(from) + " and RowKey lt " + quote(till)
	top := int32(min(limit, 1000)) // the service's own bound
	pages := t.client.NewListEntitiesPager(&aztables.ListEntitiesOptions{Filter: &filter, Top: &top})
	for pages.More() && len(rows) < limit {
		page, err := pages.NextPage(ctx)
		if hasStatus(err, http.StatusNotFound) { // no table yet
			return nil, nil
		}
		if err != nil {
			return nil, wrap(t, "list", from, err)
		}
		for _, body := range page.Entities {
			var e aztables.EDMEntity
			if err := json.Unmarshal(body, &e); err != nil {
				return nil, wrap(t, "list", from, err)
			}
			rows = append(rows, listed{e.RowKey, e.Properties, azcore.ETag(e.ETag)})
		}
	}
	return rows[:min(len(rows), limit)], nil
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
