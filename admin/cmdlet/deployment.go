package cmdlet

import (
	"context"
	"time"

	"trivet/link/pki"
	"trivet/rule/directory"
	"trivet/rule/policy"
	"trivet/uc"
)

// Deployment is what cmdlets act on; the role that carries the management
// service implements it.
type Deployment interface {
	Users() Users
	Groups() Groups
	Photos() Photos
	Pool() Pool
	Certificates() Certificates
	Policies() Policies
	AddressBook() AddressBook
	DirectorySync() DirectorySync
	// Databases are those of the Back End, nil where the pool has none.
	Databases() Databases
	// Fabric is the groups of a pool, nil on a Standard Edition server.
	Fabric() Fabric
	// Recovery brings a pool back, nil on a Standard Edition server.
	Recovery() Recovery
	// UserData is what users keep in their routing groups.
	UserData() UserData
	// Topology is the document the deployment runs on.
	Topology() Topology
	// Computer is the server that answers.
	Computer() uc.ServerFQDN
}

// Policies are the policies and configurations of the deployment.
type Policies interface {
	// Book is what holds now.
	Book() *policy.Book
	// Change lets change make the new values of an instance: it gets the old ones and
	// whether there is one, and returns the new ones, nil to remove it. The change is
	// on disk and holds when it returns.
	Change(ctx context.Context, by string, k *policy.Kind, id policy.Identity, change func(old policy.Values, exists bool) (policy.Values, error)) error
}

// AddressBook makes address book files.
type AddressBook interface {
	// Update makes the full file of today and the delta files that lead to it, at once.
	Update(ctx context.Context) (BookFiles, error)
}

// BookFiles tells of the address book files that were made.
type BookFiles struct {
	File     string // the full file
	Contacts int
	Bytes    int64
	Deltas   int // how many delta files lead to it
	// Warnings are sentences about what was left out: rules for telephone numbers
	// that are wrong.
	Warnings []string `json:"-"`
}

// Users is the directory. Faults are those of store/users.
type Users interface {
	// Find returns the one user that goes by identity: SIP address, UPN, account
	// name, GUID or display name.
	Find(ctx context.Context, identity string) (directory.User, error)
	// List returns at most limit users (0 = all) by display name; an empty
	// pattern fits everybody.
	List(ctx context.Context, pattern string, filter directory.Filter, limit int) ([]directory.User, error)
	// Create stores a user with a password; the routing group is given by the
	// directory.
	Create(ctx context.Context, u directory.User, password string) (directory.User, error)
	// Update lets change edit the stored user in a transaction.
	Update(ctx context.Context, guid string, change func(*directory.User) error) (directory.User, error)
	// Import makes many changes in one transaction and says what became of each.
	Import(ctx context.Context, mode ImportMode, list []Import) ([]Imported, error)
	// SetPassword replaces all credentials of a user and ends its sessions.
	SetPassword(ctx context.Context, guid, password string) error
	// Delete removes the account with everything that hangs on it.
	Delete(ctx context.Context, guid string) error
}

// Import is one of many changes: a user to create when GUID is empty, else a change
// of the one with that GUID. Password is the new one, "" = as it is.
type Import struct {
	GUID     string
	User     directory.User
	Change   func(*directory.User) error
	Password string
}

// Imported is what became of an Import: the user as stored, or why it was refused.
type Imported struct {
	User    directory.User
	Refused error
}

// ImportMode says what becomes of many changes some of which are refused.
type ImportMode uint8

// Modes of an import.
const (
	AllOrNothing ImportMode = iota // nothing is stored
	SkipRefused                    // the others are stored
	Trial                          // nothing is stored, refused or not
)

// Groups are the distribution groups of the directory. Faults are those of
// store/users.
type Groups interface {
	// FindGroup returns the one group that goes by identity: mail address, SIP
	// address, GUID, alias or display name.
	FindGroup(ctx context.Context, identity string) (directory.Group, error)
	ListGroups(ctx context.Context, pattern string, limit int) ([]directory.Group, error)
	CreateGroup(ctx context.Context, g directory.Group, members ...directory.Member) (directory.Group, error)
	UpdateGroup(ctx context.Context, guid string, change func(*directory.Group) error) (directory.Group, error)
	DeleteGroup(ctx context.Context, guid string) error
	// AddMembers and RemoveMembers return how many came or went.
	AddMembers(ctx context.Context, guid string, list ...directory.Member) (int, error)
	RemoveMembers(ctx context.Context, guid string, list ...directory.Member) (int, error)
	// Expand returns a group with its direct members, at most limit; 0 = all.
	Expand(ctx context.Context, address string, limit int) (directory.Expansion, error)
}

// Photos are the pictures of users, by GUID.
type Photos interface {
	Photo(ctx context.Context, guid string) (directory.Photo, error)
	SetPhoto(ctx context.Context, guid string, data []byte) (directory.Photo, error)
	RemovePhoto(ctx context.Context, guid string) error
}

// Pool is the pool this server belongs to.
type Pool interface {
	// FQDN is the name of the pool; SIP addresses may be in Domains only.
	FQDN() uc.PoolFQDN
	Domains() []string
	// HomeServer is the value of the property of users homed here.
	HomeServer() string
	Placement(ctx context.Context, user uc.UserURI) (Placement, error)
	// Endpoints lists the registered endpoints of a user.
	Endpoints(ctx context.Context, user uc.UserURI) ([]Endpoint, error)
	// Services lists the parts of the pool and how they do.
	Services(ctx context.Context) ([]Service, error)
}

// Placement says where a user is served.
type Placement struct {
	Pool     uc.PoolFQDN
	Machines []uc.ServerFQDN // in the order clients are to try them
	Primary  uc.ServerFQDN   // "" while the routing group has none
	// Backup pool; empty without pairing.
	BackupPool     uc.PoolFQDN
	BackupMachines []uc.ServerFQDN
	BackupPrimary  uc.ServerFQDN
}

// Endpoint is a registered device of a user.
type Endpoint struct {
	ID         uc.EndpointID
	Contact    string // its contact address
	Server     uc.ServerFQDN
	Transport  string // "tls", "tcp", "udp", "ws", "wss"
	Remote     string // IP address and port
	UserAgent  string
	Registered time.Time
	Expires    time.Time
	Connected  bool // false: lost its connection and is in its grace period
}

// Service is one part of the pool on one computer.
type Service struct {
	Name     string // the name of the product's service: "RTCSRV"
	Role     string // the product's service role: "Registrar", "UserServer", "WebServer"
	Computer uc.ServerFQDN
	Pool     uc.PoolFQDN
	Running  bool
	Activity string // "12 connections, 4 users"
	Problem  string // one sentence when it is not well
}

// Certificates are the server certificates and those of clients; *pki.Authority
// is one.
type Certificates interface {
	List() []pki.Info
	Request(use pki.Use, extra []string) (pki.Info, error)
	SigningRequest(use pki.Use, extra []string) ([]byte, error)
	Import(certFile, keyFile []byte) (pki.Info, error)
	Use(use pki.Use, thumbprint string) error
	Remove(thumbprint string) error
	Clients(ctx context.Context, user uc.UserURI) ([]pki.ClientCert, error)
	Revoke(ctx context.Context, user uc.UserURI, device string) (int, error)
}

var _ Certificates = (*pki.Authority)(nil)
