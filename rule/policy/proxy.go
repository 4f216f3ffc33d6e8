package policy

// Proxy are the ways to sign in over SIP. A way that is switched off is not
// offered any more; who is signed in stays so.
type Proxy struct {
	UseKerberosForClientToProxyAuth    bool `default:"true" help:"Sign-in with Kerberos, where a keytab is given" server:"offers it"`
	UseNtlmForClientToProxyAuth        bool `default:"true" help:"Sign-in with NTLMv2" server:"offers it"`
	UseCertificateForClientToProxyAuth bool `default:"true" help:"Sign-in with a client certificate (TLS-DSK), where HTTPS is on" server:"offers it"`
	UseDigestForClientToProxyAuth      bool `default:"true" help:"Sign-in of standard SIP clients with Digest" server:"offers it"`
	UseDigestMD5ForClientToProxyAuth   bool `default:"true" help:"Digest with MD5 beside SHA-256, for clients that know nothing else" server:"offers it"`
}

// ProxyConfiguration is CsProxyConfiguration. The two Digest switches are ours;
// the product has Digest for other purposes only.
var ProxyConfiguration = define[Proxy](Kind{
	Noun: "CsProxyConfiguration", About: "ways to sign in over SIP",
	rule: between(func(p *Proxy) error {
		if !p.UseKerberosForClientToProxyAuth && !p.UseNtlmForClientToProxyAuth && !p.UseCertificateForClientToProxyAuth && !p.UseDigestForClientToProxyAuth {
			return invalid("UseNtlmForClientToProxyAuth", "UseNtlmForClientToProxyAuth needs to stay $true where every other way to sign in is $false")
		}
		return nil
	}),
})
