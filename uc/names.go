package uc

// Groups of a pool beside its routing groups, which are numbered from 1 to
// MaxRoutingGroup.
const (
	MaxRoutingGroup GroupID = 1 << 16
	PoolGroup       GroupID = MaxRoutingGroup + 1 // membership, placement, marks of the first start
	DirectoryGroup  GroupID = MaxRoutingGroup + 2 // users, distribution groups, policies
)
