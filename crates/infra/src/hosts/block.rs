//! Disks, partitions and what lies on them, from `lsblk -J`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Row;
use super::ask::Asker;
use super::hygiene::one_line;
use super::reader::{Failure, Reader};
use super::units::bytes;

/// Deeper nesting is no device tree.
const MAX_DEPTH: usize = 16;

const LSBLK: &[&str] =
    &["lsblk", "-J", "-b", "-o", "NAME,TYPE,SIZE,FSTYPE,LABEL,UUID,MOUNTPOINTS,RO,RM,ROTA,MODEL,TRAN"];
/// Before util-linux 2.37 a device has one mount point.
const LSBLK_OLD: &[&str] =
    &["lsblk", "-J", "-b", "-o", "NAME,TYPE,SIZE,FSTYPE,LABEL,UUID,MOUNTPOINT,RO,RM,ROTA,MODEL,TRAN"];

/// A disk, a partition, a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BlockDevice {
    /// Name, such as `sda1`.
    pub name: String,
    /// Device that it lies on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// `disk`, `part`, `lvm`, `crypt`, `raid1`, `loop`…
    pub kind: String,
    /// Size.
    pub size_bytes: u64,
    /// File system, `swap`, `crypto_LUKS`…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
    /// Label of the file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// UUID of the file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Where it is mounted.
    pub mounts: Vec<String>,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Whether it can be taken out.
    pub removable: bool,
    /// Whether it is a spinning disk.
    pub rotational: bool,
    /// Model of a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How a disk is attached: `sata`, `nvme`, `usb`…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
}

#[derive(Deserialize)]
struct Lsblk {
    #[serde(default)]
    blockdevices: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    size: Value,
    #[serde(default)]
    fstype: Option<String>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    mountpoints: Vec<Option<String>>,
    #[serde(default)]
    mountpoint: Option<String>,
    #[serde(default)]
    ro: Value,
    #[serde(default)]
    rm: Value,
    #[serde(default)]
    rota: Value,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    tran: Option<String>,
    #[serde(default)]
    children: Vec<Device>,
}

/// Asks for the block devices, each before those that lie on it.
pub async fn get_block_devices(reader: &dyn Reader) -> Result<Vec<BlockDevice>, Failure> {
    let asker = Asker::new(reader);
    let said: Lsblk = match asker.json(LSBLK).await {
        Err(Failure::Failed { stderr, .. }) if stderr.contains("unknown column") => {
            asker.json(LSBLK_OLD).await?
        }
        other => other?,
    };
    let mut devices = Vec::new();
    flatten(said.blockdevices, None, 0, &mut devices);
    Ok(devices)
}

fn flatten(from: Vec<Device>, parent: Option<&str>, depth: usize, into: &mut Vec<BlockDevice>) {
    if depth > MAX_DEPTH {
        return;
    }
    for mut device in from {
        let children = std::mem::take(&mut device.children);
        let row = row(device, parent);
        let name = row.name.clone();
        // A device on several others, such as a RAID array, stands beneath each.
        if !into.iter().any(|known| known.name == name) {
            into.push(row);
        }
        flatten(children, Some(&name), depth + 1, into);
    }
}

fn row(device: Device, parent: Option<&str>) -> BlockDevice {
    let text = |t: Option<String>, most| t.map(|t| one_line(&t, most)).filter(|t| !t.is_empty());
    let mounts = device.mountpoints.into_iter().chain([device.mountpoint]).flatten();
    BlockDevice {
        name: one_line(&device.name, 80),
        parent: parent.map(str::to_owned),
        kind: text(device.kind, 20).unwrap_or_default(),
        size_bytes: number(&device.size),
        filesystem: text(device.fstype, 40),
        label: text(device.label, 80),
        uuid: text(device.uuid, 40),
        mounts: mounts.map(|m| one_line(&m, 200)).take(16).collect(),
        read_only: yes(&device.ro),
        removable: yes(&device.rm),
        rotational: yes(&device.rota),
        model: text(device.model.map(|m| m.trim().to_owned()), 80),
        transport: text(device.tran, 20),
    }
}

/// Old versions write numbers and flags as text.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok()).unwrap_or(0)
}

fn yes(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| number(value) == 1)
}

impl Row for BlockDevice {
    fn line(&self) -> String {
        let mut line = format!("{} {} {}", self.name, self.kind, bytes(self.size_bytes));
        for part in [&self.filesystem, &self.model, &self.transport].into_iter().flatten() {
            line.push_str(&format!(" {part}"));
        }
        if let Some(parent) = &self.parent {
            line.push_str(&format!(" on {parent}"));
        }
        if !self.mounts.is_empty() {
            line.push_str(&format!(" at {}", self.mounts.join(", ")));
        }
        if self.read_only {
            line.push_str(" read-only");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on, sample};
    use super::super::reader::Output;
    use super::*;

    #[test]
    fn a_real_answer_is_read() {
        let fake = Fake::default().with("lsblk -J -b", answer(&sample("lsblk.json")));
        let devices = block_on(get_block_devices(&fake)).unwrap();
        assert!(!devices.is_empty());
        assert!(devices.iter().all(|d| !d.name.is_empty() && !d.kind.is_empty()), "{devices:?}");
        assert!(devices.iter().any(|d| d.kind == "disk" && d.size_bytes > 1 << 20), "{devices:?}");
    }

    #[test]
    fn a_tree_becomes_rows() {
        let raw = r#"{"blockdevices":[{"name":"sda","type":"disk","size":"1000","ro":"0","rota":"1","model":"Disk  ","tran":"sata","mountpoint":null,
            "children":[{"name":"sda1","type":"part","size":900,"fstype":"ext4","mountpoint":"/","ro":false}]},
            {"name":"sdb","type":"disk","size":5,"ro":true,"mountpoints":[null],"children":[{"name":"sda1","type":"part","size":900}]}]}"#;
        let old = Output {
            exit: Some(1),
            stderr: b"lsblk: unknown column: MOUNTPOINTS,RO".to_vec(),
            ..Output::default()
        };
        let fake = Fake::default().with("lsblk", old).with(&LSBLK_OLD.join(" "), answer(raw));
        let devices = block_on(get_block_devices(&fake)).unwrap();
        let lines: Vec<String> = devices.iter().map(Row::line).collect();
        assert_eq!(
            lines,
            ["sda disk 1000 B Disk sata", "sda1 part 900 B ext4 on sda at /", "sdb disk 5 B read-only"]
        );
    }

    #[test]
    fn hostile_answers_do_no_harm() {
        let deep = "{\"name\":\"x\",\"children\":[".repeat(30) + &"]}".repeat(30);
        let raw = format!(
            "{{\"blockdevices\":[{deep},{{\"name\":\"a\\u001b[2J\\nb\",\"size\":-5,\"type\":null}}]}}"
        );
        let devices = block_on(get_block_devices(&Fake::default().with("lsblk", answer(&raw)))).unwrap();
        assert_eq!(devices.last().map(|d| (d.name.as_str(), d.size_bytes)), Some(("a | b", 0)));
        assert!(
            block_on(get_block_devices(&Fake::default().with("lsblk", answer("{\"blockdevices\":5}"))))
                .is_err()
        );
    }
}
