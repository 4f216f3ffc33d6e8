package cmdlet

import (
	"cmp"
	"slices"
)

// catalog is every cmdlet, by name: those with a file of their own, and those made
// from the kinds of policies.
var catalog = slices.SortedFunc(slices.Values(append(ofKinds(), written[:]...)), func(a, b Cmdlet) int { return cmp.Compare(a.Name, b.Name) })

// written are the cmdlets with a file of their own, by name. A test compares them
// with the files.
var written = [...]Cmdlet{
	addDistributionGroupMember,
	disableUser,
	enableUser,
	exportUserData,
	getAdminRoleAssignment,
	getCertificate,
	getClientCertificate,
	getDatabaseMirrorState,
	getPoolFabricState,
	getPoolUpgrade,
	getPoolUpgradeReadinessState,
	stopWindowsService,
	startWindowsService,
	getTopology,
	testTopology,
	publishTopology,
	getPool,
	getComputer,
	resetPoolRegistrarState,
	startPool,
	getDirectorySyncState,
	getDistributionGroup,
	getDistributionGroupMember,
	getService,
	getUser,
	getUserEndpoint,
	getUserPhoto,
	getUserPoolInfo,
	getWindowsService,
	importCertificate,
	importUser,
	importUserData,
	installDatabase,
	invokeDatabaseFailover,
	invokePoolUpgrade,
	newDistributionGroup,
	newUser,
	removeCertificate,
	removeDistributionGroup,
	removeDistributionGroupMember,
	removeUser,
	removeUserPhoto,
	requestCertificate,
	revokeClientCertificate,
	setAdminRoleAssignment,
	setCertificate,
	setDistributionGroup,
	setUser,
	setUserPassword,
	setUserPhoto,
	testAddressBookService,
	testAddressBookWebQuery,
	testDatabase,
	testGroupExpansion,
	testIM,
	testPresence,
	testRegistration,
	updateAddressBook,
	updateUserDatabase,
}
