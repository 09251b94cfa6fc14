"""Who may begin now, and what the others wait for.

A slot is a lease under which a preview was let in: it ends with the lease, so no killed worker keeps one, and it counts
for all workers of the machine. What only the stack can tell, such as further networks, is asked for by the step that
takes it; who was refused there is known to need it (`line_needs`), and is judged before anything is done for it from
then on.
"""
