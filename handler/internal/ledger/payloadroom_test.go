package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// As many payloads as there is room for fit the row in whatever state they are, and one in three more would not.
func TestPayloadsFitTheirColumn(t *testing.T) {
	t.Parallel()
	for _, url := range []int{40, 120, 250, 2000} {
		room := PayloadRoom(url)
		save := func(payloads int) error {
			l := OpenMemory(NewMemory(), Options{ExportTable: "e", ChunkTable: "c", ExceptionTable: "x", PartitionKey: "p", RowKey: "row"})
			if err := l.CreateTables(t.Context()); err != nil {
				t.Fatal(err)
			}
			w := inPhase(t, Exported)
			w.Payloads = nil
			late := Millis(time.Date(2286, 11, 20, 0, 0, 0, 0, time.UTC).UnixMilli())
			for i := range payloads {
				p := Payload{Blob: postedBlob(i+1, 9999), Post: 9999, From: 999_999, To: 1_000_000, StatusURL: strings.Repeat("u", url), State: Posted, Lines: 999_999_999_999,
					Unknown: 1, Cancelled: true, Moved: 999_999_999_999, NotBefore: late, PostedAt: late, MovedAt: late}
				if i < filesAgain {
					p.Only, p.Earlier, p.Imported, p.Refused = []int{999_999}, postedBlob(i+1, 9998), 999_999_999_999, 999_999_999_999
				}
				w.Payloads = append(w.Payloads, p)
			}
			_, err := l.InsertWindow(t.Context(), w.counted())
			return err
		}
		if err := save(room); err != nil {
			t.Errorf("URLs of %d characters, room for %d payloads: %v", url, room, err)
		}
		if room < 100 {
			if err := save(room + room/3 + 1); err == nil {
				t.Errorf("URLs of %d characters: %d payloads fit, said to be %d", url, room+room/3+1, room)
			}
		}
	}
	if short, long := PayloadRoom(40), PayloadRoom(250); short != 100 && short < 90 || long >= short {
		t.Error(fmt.Sprint("room: ", short, long))
	}
}
