package master

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Owner is the account that the process becomes: mail_owner.
type Owner struct {
	Name     string
	UID, GID int
	Groups   []int // all of its groups, as initgroups(3) sets them
}

// LookupOwner finds the account in /etc/passwd and its groups in /etc/group.
// It belongs before the jail, where these files are.
func LookupOwner(name string) (*Owner, error) {
	fail := func(err error) (*Owner, error) { return nil, fmt.Errorf("look up user %s: %w", name, err) }
	account, err := user.Lookup(name)
	if err != nil {
		return fail(err)
	}
	names, err := account.GroupIds()
	if err != nil {
		return fail(err)
	}
	owner := &Owner{Name: name}
	if owner.UID, err = strconv.Atoi(account.Uid); err != nil {
		return fail(err)
	}
	if owner.GID, err = strconv.Atoi(account.Gid); err != nil {
		return fail(err)
	}
	owner.Groups = []int{owner.GID}
	for _, text := range names {
		gid, err := strconv.Atoi(text)
		if err != nil {
			return fail(err)
		}
		if !slices.Contains(owner.Groups, gid) {
			owner.Groups = append(owner.Groups, gid)
		}
	}
	return owner, nil
}

// LookupMailOwner is LookupOwner for a daemon. An account that Postfix does not
// take for mail_owner is an error: to become root would be no jail.
func LookupMailOwner(name string) (*Owner, error) {
	o, err := LookupOwner(name)
	if err != nil {
		return nil, err
	}
	first := name
	if other, err := user.LookupId(strconv.Itoa(o.UID)); err == nil {
		first = other.Username
	}
	if err := o.check(first); err != nil {
		return nil, fmt.Errorf("look up user %s: %w", name, err)
	}
	return o, nil
}

// check refuses what Postfix refuses in mail_owner. First is the first account of
// that user ID.
func (o *Owner) check(first string) error {
	switch {
	case o.UID == 0:
		return errors.New("it has the privileged user ID")
	case o.GID == 0:
		return errors.New("it has the privileged group ID")
	case first != o.Name:
		return fmt.Errorf("it has the same user ID as user %s", first)
	}
	return nil
}

// Jail is what the process gives up.
type Jail struct {
	Root  string // new root directory (option -c), empty for none
	Owner *Owner // new user (option -u), nil for none
}

// EnterJail gives up privileges for the whole process, all threads, in
// Postfix's order: group, groups, root directory, user. It then makes sure that
// nothing is left. After an error the process is in no defined state and must
// end. With an empty Jail it does nothing.
func EnterJail(j Jail) error {
	if j.Owner != nil {
		if err := setGroups(j.Owner); err != nil {
			return err
		}
	}
	if j.Root != "" {
		if err := changeRoot(j.Root); err != nil {
			return err
		}
	}
	if j.Owner != nil {
		return setUser(j.Owner)
	}
	return nil
}

// setGroups uses package syscall, which changes every thread of the process.
func setGroups(o *Owner) error {
	if err := syscall.Setgid(o.GID); err != nil {
		return fmt.Errorf("setgid(%d): %w", o.GID, err)
	}
	if err := syscall.Setgroups(o.Groups); err != nil {
		return fmt.Errorf("set groups of %s: %w", o.Name, err)
	}
	return nil
}

// changeRoot is for the process by nature: Go's threads share their root and
// working directories.
func changeRoot(root string) error {
	var want, got unix.Stat_t
	if err := unix.Stat(root, &want); err != nil {
		return fmt.Errorf("chroot(%s): %w", root, err)
	}
	if err := unix.Chroot(root); err != nil {
		return fmt.Errorf("chroot(%s): %w", root, err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("chdir(/): %w", err)
	}
	if err := unix.Stat("/", &got); err != nil || got.Dev != want.Dev || got.Ino != want.Ino {
		return fmt.Errorf("chroot(%s): had no effect", root)
	}
	return nil
}

func setUser(o *Owner) error {
	if err := syscall.Setuid(o.UID); err != nil {
		return fmt.Errorf("setuid(%d): %w", o.UID, err)
	}
	if r, e, s := unix.Getresuid(); r != o.UID || e != o.UID || s != o.UID {
		return fmt.Errorf("setuid(%d): had no effect", o.UID)
	}
	if r, e, s := unix.Getresgid(); r != o.GID || e != o.GID || s != o.GID {
		return fmt.Errorf("setgid(%d): had no effect", o.GID)
	}
	got, err := unix.Getgroups()
	if err != nil {
		return fmt.Errorf("set groups of %s: %w", o.Name, err)
	}
	for _, gid := range got {
		if !slices.Contains(o.Groups, gid) {
			return fmt.Errorf("set groups of %s: group %d is left", o.Name, gid)
		}
	}
	if o.UID != 0 && syscall.Setuid(0) == nil {
		return errors.New("setuid: root privileges are left")
	}
	return nil
}
