// Package fake is what stands in for a destination: it keeps its rows in a file
// that any program can read, holds callers to the limits that the destination
// declares, answers as its rules say, and fails as it is told.
package fake
