package load_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"elt/internal/retry"
	"elt/internal/scan"
	"elt/internal/warehouse"
	"elt/load"
)

// A file that has lost all its rows is staged without any, and then the stage
// goes, as all of the scratch database does when its file is opened anew.
func TestStageOfNoRowsThatIsGoneIsNoSuccess(t *testing.T) {
	dir := t.TempDir()
	eachReading(t, dir, func(t *testing.T, db *warehouse.DB) {
		s := filesScan{files: []scan.File{
			{Path: filepath.Join(dir, "a.csv"), Name: "a.csv"}, {Path: filepath.Join(dir, "b.csv"), Name: "b.csv"},
		}}
		write := func(i int, text string) {
			if err := os.WriteFile(s.files[i].Path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		rows := `SELECT id FROM shop.orders ORDER BY 1`
		write(0, "id,amount\n1,1.00\n")
		write(1, "id,amount\n2,1.00\n")
		to, c := load.Target{Disposition: load.File}, contract("l1")
		c.Files = true
		st := stage(t, db, s, c)
		for range 2 { // the second time the stage is the table
			if _, err := publish(db, st, to); err != nil {
				t.Fatal(err)
			}
			same(t, "table", table(t, db, rows), "1; 2")
		}

		write(1, "id,amount\n")
		s.files = s.files[1:] // the other has not changed
		c.LoadID, c.Rejects = "l2", nil
		st = stage(t, db, s, c)
		if err := st.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		res, err := publish(db, st, to)
		if class, _ := retry.Of(err); err == nil || class != retry.Transient {
			t.Errorf("published %+v, error %v", res, err)
		}
		same(t, "table", table(t, db, rows), "1; 2")

		c.LoadID, c.Rejects = "l3", nil
		if _, err := publish(db, stage(t, db, s, c), to); err != nil {
			t.Fatal(err)
		}
		same(t, "table", table(t, db, rows), "1")
	})
}

// partsScan is a scan of the parts that it is given.
type partsScan struct {
	filesScan
	parts []scan.Part
}

func (s partsScan) Parts() []scan.Part { return s.parts }

func TestPartThatFailsEndsTheOthersAtOnce(t *testing.T) {
	dir := t.TempDir()
	eachReading(t, dir, func(t *testing.T, db *warehouse.DB) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		endless := scan.Part{Open: func(ctx context.Context) (array.RecordReader, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}}
		missing := filesScan{files: []scan.File{{Path: filepath.Join(dir, "missing.csv"), Name: "missing.csv"}}}.Parts()[0]
		_, err := load.Stage(ctx, db, partsScan{parts: []scan.Part{endless, missing}}, contract("l1"))
		if err == nil || !strings.Contains(err.Error(), "missing.csv") || ctx.Err() != nil {
			t.Errorf("error %v, time out %v", err, ctx.Err())
		}
	})
}
