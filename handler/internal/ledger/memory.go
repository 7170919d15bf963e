package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// Memory is a table service in memory, the twin of the one in Azure: what the crash suite runs on, thousands of migrations
// in a minute. It lives as long as the test, whatever dies in it: ledgers opened on one Memory see the same rows. It is
// safe for concurrent use; a call either happens as a whole or not at all.
type Memory struct {
	mu     sync.Mutex
	tables map[string]map[rowKey]entity
	saves  int // numbers the ETags
}

type rowKey struct{ partition, row string }

type entity struct {
	properties properties
	etag       azcore.ETag
}

// NewMemory makes a table service without tables.
func NewMemory() *Memory { return &Memory{tables: map[string]map[rowKey]entity{}} }

// OpenMemory makes a ledger whose tables are in m. Of the options, those that say how to reach a service do not matter.
func OpenMemory(m *Memory, o Options) *Ledger {
	return &Ledger{export: memoryTable{m, o.ExportTable}, chunk: memoryTable{m, o.ChunkTable}, exceptions: memoryTable{m, o.ExceptionTable}, partition: o.PartitionKey, rowKey: o.RowKey}
}

// memoryTable is one table of a Memory.
type memoryTable struct {
	memory *Memory
	table  string
}

func (t memoryTable) name() string { return t.table }

// lock begins a call, unless ctx is over. done ends it.
func (t memoryTable) lock(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.memory.mu.Lock()
	return t.memory.mu.Unlock, nil
}

func (t memoryTable) create(ctx context.Context) error {
	done, err := t.lock(ctx)
	if err != nil {
		return wrap(t, "create", "", err)
	}
	defer done()
	if t.memory.tables[t.table] == nil {
		t.memory.tables[t.table] = map[rowKey]entity{}
	}
	return nil
}

func (t memoryTable) get(ctx context.Context, partition, row string) (properties, azcore.ETag, error) {
	done, err := t.lock(ctx)
	if err != nil {
		return nil, "", wrap(t, "read", row, err)
	}
	defer done()
	e, there := t.memory.tables[t.table][rowKey{partition, row}]
	if !there {
		return nil, "", wrap(t, "read", row, ErrNotFound)
	}
	return maps.Clone(e.properties), e.etag, nil
}

func (t memoryTable) insert(ctx context.Context, partition, row string, p properties) (azcore.ETag, error) {
	done, err := t.lock(ctx)
	if err != nil {
		return "", wrap(t, "insert", row, err)
	}
	defer done()
	rows := t.memory.tables[t.table]
	if rows == nil {
		return "", wrap(t, "insert", row, ErrNotFound)
	}
	if _, there := rows[rowKey{partition, row}]; there {
		return "", wrap(t, "insert", row, ErrExists)
	}
	return t.put(rowKey{partition, row}, p)
}

func (t memoryTable) replace(ctx context.Context, partition, row string, p properties, read azcore.ETag) (azcore.ETag, error) {
	if err := named(read); err != nil {
		return "", wrap(t, "save", row, err)
	}
	done, err := t.lock(ctx)
	if err != nil {
		return "", wrap(t, "save", row, err)
	}
	defer done()
	e, there := t.memory.tables[t.table][rowKey{partition, row}]
	switch {
	case !there:
		return "", wrap(t, "save", row, ErrNotFound)
	case e.etag != read:
		return "", wrap(t, "save", row, ErrConflict)
	}
	return t.put(rowKey{partition, row}, p)
}

func (t memoryTable) remove(ctx context.Context, partition, row string, read azcore.ETag) error {
	if err := named(read); err != nil {
		return wrap(t, "remove", row, err)
	}
	done, err := t.lock(ctx)
	if err != nil {
		return wrap(t, "remove", row, err)
	}
	defer done()
	e, there := t.memory.tables[t.table][rowKey{partition, row}]
	if there && e.etag != read {
		return wrap(t, "remove", row, ErrConflict)
	}
	delete(t.memory.tables[t.table], rowKey{partition, row})
	return nil
}

// put stores a copy of p, as the service would store it. The memory is locked and the table is there.
func (t memoryTable) put(key rowKey, p properties) (azcore.ETag, error) {
	kept := make(properties, len(p))
	for name, v := range p {
		switch v := v.(type) {
		case nil: // the service drops it
		case string, bool, int32, float64, aztables.EDMInt64:
			kept[name] = v
		case aztables.EDMDateTime: // a tick of the service is 100 ns
			kept[name] = aztables.EDMDateTime(time.Time(v).UTC().Truncate(100 * time.Nanosecond))
		default:
			return "", wrap(t, "save", key.row, fmt.Errorf("column %s: a table has no type for %T", name, v))
		}
	}
	t.memory.saves++
	etag := azcore.ETag(fmt.Sprintf(`W/"memory-%d"`, t.memory.saves))
	t.memory.tables[t.table][key] = entity{kept, etag}
	return etag, nil
}

func (t memoryTable) list(ctx context.Context, partition, from, till string, limit int) (rows []listed, _ error) {
	done, err := t.lock(ctx)
	if err != nil {
		return nil, wrap(t, "list", from, err)
	}
	defer done()
	for key, e := range t.memory.tables[t.table] {
		if key.partition == partition && key.row >= from && key.row < till {
			rows = append(rows, listed{key.row, maps.Clone(e.properties), e.etag})
		}
	}
	slices.SortFunc(rows, func(a, b listed) int { return strings.Compare(a.key, b.key) })
	return rows[:min(len(rows), limit)], nil
}
