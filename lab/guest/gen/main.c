// SPDX-License-Identifier: GPL-2.0-only
/*
 * ulsgen.ko: the lab's traffic generator, for guests under QEMU only.
 * See ulsgen.h for what it does and docs/experiments-endhost.md for why so.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "internal.h"

static struct gen gen;
static DEFINE_MUTEX(gen_lock);	/* serialises ioctl and read */

static int set_frame(struct gen *g, const struct ulsgen_frame __user *arg)
{
	struct ulsgen_frame f;
	int err;

	if (copy_from_user(&f, arg, sizeof(f)))
		return -EFAULT;
	/* Whose NMIs are measured. */
	if (raw_smp_processor_id())
		return -EXDEV;
	if (f.len < ULSGEN_MIN_LEN || f.len > ULSGEN_MAX_LEN ||
	    strnlen(f.port, sizeof(f.port)) == sizeof(f.port))
		return -EINVAL;
	if (READ_ONCE(g->stats.running))
		return -EBUSY;
	gen_port_close(g);
	err = gen_port_open(g, f.port);
	if (err)
		return err;
	err = gen_shot_calibrate(g);
	if (err) {
		gen_port_close(g);
		return err;
	}
	g->frame = f;
	return 0;
}

static int start(struct gen *g, const struct ulsgen_run __user *arg)
{
	struct ulsgen_run r;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	if (!g->port)
		return -ENXIO;	/* ULSGEN_SET_FRAME comes first */
	if (READ_ONCE(g->stats.running))
		return -EBUSY;
	if (r.period_ns < 2000 || r.period_ns > NSEC_PER_SEC || !r.burst ||
	    r.burst > ULSGEN_MAX_BURST || r.flood > ULSGEN_MAX_FLOOD ||
	    !r.count || r.count > ULSGEN_MAX_FRAMES ||
	    r.count % r.burst || r.spread_ns > r.period_ns / 2 || r.period_ns % g->pace.tick_ns ||
	    r.period_ns * (r.count / r.burst) > ULSGEN_MAX_NS)
		return -EINVAL;
	gen_shot_stop(g);
	g->run = r;
	return gen_shot_start(g);
}

static int read_stats(struct gen *g, struct ulsgen_stats __user *arg)
{
	struct ulsgen_stats s;
	u32 shots, stamps;

	/* An NMI in between would tear the figures: look again. */
	do {
		shots = READ_ONCE(g->stats.shots);
		stamps = READ_ONCE(g->stats.stamps);
		barrier();
		s = g->stats;
		s.now = rdtsc();
		barrier();
	} while (shots != READ_ONCE(g->stats.shots) || stamps != READ_ONCE(g->stats.stamps));
	return copy_to_user(arg, &s, sizeof(s)) ? -EFAULT : 0;
}

static long gen_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct gen *g = &gen;
	long err;

	/*
	 * Waiting needs no lock, and must not keep others from the figures. An NMI
	 * can wake nobody: look again and again. Callers sleep until shortly before.
	 */
	if (cmd == ULSGEN_WAIT) {
		while (READ_ONCE(g->stats.running)) {
			usleep_range(50, 60);
			if (signal_pending(current))
				return -ERESTARTSYS;
		}
		return 0;
	}
	if (mutex_lock_interruptible(&gen_lock))
		return -ERESTARTSYS;
	switch (cmd) {
	case ULSGEN_SET_FRAME:
		err = set_frame(g, (void __user *)arg);
		break;
	case ULSGEN_START:
		err = start(g, (void __user *)arg);
		break;
	case ULSGEN_STATS:
		err = read_stats(g, (void __user *)arg);
		break;
	case ULSGEN_COST:
		err = copy_to_user((void __user *)arg, &g->cost, sizeof(g->cost)) ? -EFAULT : 0;
		break;
	default:
		err = -ENOTTY;
	}
	mutex_unlock(&gen_lock);
	return err;
}

static ssize_t gen_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	struct gen *g = &gen;
	ssize_t n = 0;

	if (mutex_lock_interruptible(&gen_lock))
		return -ERESTARTSYS;
	if (g->stamps)
		n = simple_read_from_buffer(to, size, pos, g->stamps,
					    array_size(g->run.count, sizeof(*g->stamps)));
	mutex_unlock(&gen_lock);
	return n;
}

static const struct file_operations gen_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= gen_ioctl,
	.read		= gen_read,
	.llseek		= default_llseek,
};

static struct miscdevice gen_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "ulsgen",
	.fops	= &gen_fops,
	.mode	= 0600,
};

static int gen_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct gen *g = &gen;
	int err;

	if (g->nic.pdev)
		return -EBUSY;	/* one generator is all the lab has */
	err = gen_nic_open(g, pdev);
	if (err)
		goto err_clear;
	err = gen_pace_open(g);
	if (err)
		goto err_close_nic;
	err = gen_shot_open(g);
	if (err)
		goto err_close_pace;
	err = misc_register(&gen_misc);
	if (err)
		goto err_close_shot;
	pci_info(pdev, "generator %pM\n", g->nic.mac);
	return 0;

err_close_shot:
	gen_shot_close(g);
err_close_pace:
	gen_pace_close(g);
err_close_nic:
	gen_nic_close(g);
err_clear:
	memset(g, 0, sizeof(*g));
	return err;
}

static void gen_remove(struct pci_dev *pdev)
{
	struct gen *g = &gen;

	misc_deregister(&gen_misc);
	gen_shot_close(g);
	gen_port_close(g);
	gen_pace_close(g);
	gen_nic_close(g);
	memset(g, 0, sizeof(*g));
}

static const struct pci_device_id gen_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x100e) },	/* 82540EM */
	{ }
};
MODULE_DEVICE_TABLE(pci, gen_ids);

static struct pci_driver gen_driver = {
	.name		= KBUILD_MODNAME,
	.id_table	= gen_ids,
	.probe		= gen_probe,
	.remove		= gen_remove,
};
module_pci_driver(gen_driver);

MODULE_DESCRIPTION("Sandstream lab traffic generator");
MODULE_LICENSE("GPL");
