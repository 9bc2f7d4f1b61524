"""Who may write: the Lease elector, the fence of one term, and the component that makes elections events."""
