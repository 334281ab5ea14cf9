"""How a person's signature is made and checked: keys of OpenSSH (`keys`), signatures in the form SSHSIG (`sshsig`), and what signs (`signers`).

Everything but `signers` is pure: bytes in, an answer or an `errors.Unacceptable` out. What is accepted here, `ssh-keygen -Y verify` accepts too.
"""
