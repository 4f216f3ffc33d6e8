package cmdlet

// catalog is every cmdlet, by name. A test compares it with the files.
var catalog = [...]Cmdlet{
	disableUser,
	enableUser,
	getAdminRoleAssignment,
	getCertificate,
	getClientCertificate,
	getService,
	getUser,
	getUserEndpoint,
	getUserPoolInfo,
	getWindowsService,
	importCertificate,
	newUser,
	removeCertificate,
	removeUser,
	requestCertificate,
	revokeClientCertificate,
	setAdminRoleAssignment,
	setCertificate,
	setUser,
	setUserPassword,
	testIM,
	testPresence,
	testRegistration,
}
