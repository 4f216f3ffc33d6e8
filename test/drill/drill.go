// Package drill holds no code: its tests run pools of Front Ends as real processes on
// loopback addresses, lose and cut and stop them, and look through the eyes of real
// clients at what becomes of it.
package drill
