package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// kamailioJob is what one kamailio is set up for: the modules and the routes.
type kamailioJob struct{ modules, routes string }

// kamailioConfig is what every job shares; nothing that would cost more than the
// job does.
const kamailioConfig = `#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=2
tcp_children=%CHILDREN%
tcp_max_connections=40000
tcp_connection_lifetime=3605
tcp_accept_no_cl=yes
disable_tcp=no
auto_aliases=no
dns=no
rev_dns=no
%TLS%
listen=%LISTEN%
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
%TLSMOD%
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
%MODULES%
request_route {
	if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
%ROUTES%
	sl_send_reply("405", "Method Not Allowed");
}
`

// kamailioRelay is the smallest stateful relay: registrar in memory, no
// authentication, no Record-Route.
var kamailioRelay = kamailioJob{
	modules: `
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 7200)`,
	routes: `
	if (method == "REGISTER") { if (!save("location")) { sl_reply_error(); } exit; }
	if (method == "MESSAGE") {
		if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
		if (!t_relay()) { sl_reply_error(); }
		exit;
	}`,
}

// kamailio says how Debian's kamailio is run. TLS is used when cert is given.
type kamailio struct {
	job       kamailioJob
	dir, addr string
	workers   int
	cert, key string
}

func (k kamailio) start() (*server, error) {
	bin, err := exec.LookPath("kamailio")
	if err != nil {
		return nil, fmt.Errorf("kamailio is missing: apt-get install kamailio kamailio-tls-modules")
	}
	listen, tlsCore, tlsMod := "tcp:"+k.addr, "", ""
	if k.cert != "" {
		listen, tlsCore = "tls:"+k.addr, "enable_tls=yes"
		conf := filepath.Join(k.dir, "tls.cfg")
		text := fmt.Sprintf("[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\nprivate_key = %s\ncertificate = %s\n", k.key, k.cert)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		tlsMod = "loadmodule \"tls.so\"\nmodparam(\"tls\", \"config\", \"" + conf + "\")"
	}
	cfg := strings.NewReplacer("%LISTEN%", listen, "%TLS%", tlsCore, "%TLSMOD%", tlsMod, "%CHILDREN%", strconv.Itoa(k.workers), "%MODULES%", k.job.modules, "%ROUTES%", k.job.routes).Replace(kamailioConfig)
	file := filepath.Join(k.dir, "kamailio.cfg")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(bin, "-f", file, "-DD", "-E", "-m", "1024", "-M", "64", "-x", "fm", "-X", "fm", "-Y", k.dir, "-P", filepath.Join(k.dir, "pid"))
	return start("kamailio", cmd, k.dir, k.addr)
}
