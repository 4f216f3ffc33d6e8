package main

import (
	"trivet/role/frontend"
)

// standardEdition serves every role in this process.
var standardEdition = frontend.Run
