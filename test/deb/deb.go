// Package deb holds no code: its tests build the Debian package, judge it with
// lintian, and take it through its life: installed, started as the service's user,
// upgraded while people use it, removed and purged. They need root: the package is
// installed into an overlay over this system that vanishes with the test, or, where
// mounting is not allowed, into this system itself, if it is a container's.
package deb
