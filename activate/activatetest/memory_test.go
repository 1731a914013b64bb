package activatetest_test

import (
	"testing"

	"elt/activate"
	"elt/activate/activatetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	activatetest.Run(t, func(*testing.T) activatetest.Harness {
		m := activatetest.NewMemory(10)
		return activatetest.Harness{
			Open: func(*testing.T) activate.Destination { return m },
			Rows: func(*testing.T) []activatetest.Row { return m.Rows() },
		}
	})
}
